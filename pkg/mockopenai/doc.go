// Package mockopenai is an OpenAI that does what it is told: an upstream for tests, demos, compose files and
// benchmarks. It answers the inference operations in the shapes that the official SDKs expect, fails on command in the
// ways that the real one has been seen to fail, keeps its own bill for each key, and remembers what it was sent.
//
// A Server is an http.Handler. Tests run any number of them in one process and steer each by its methods (Fault,
// Configure, Reset, Stats, Requests); other programs steer it over HTTP, without a key:
//
//	GET  /_stats     Stats by key
//	GET  /_requests  the last requests received, oldest first: Request
//	POST /_config    any of the fields of Settings; answers all of them
//	POST /_fault     a Fault; kind "none" clears those of the key
//	POST /_reset     forgets stats, faults, requests, stored objects and what was taken of rate limits
//
// WebSockets are GET /v1/realtime and GET /v1/responses; see session for what they understand.
//
// Answers say nothing clever. Texts are fixed, the prompt of a chat is always 19 tokens, and each piece of a stream is
// one, so that a test can tell what should have been counted.
//
// What is stored (files, batches, responses, vector stores and so on, see kinds) belongs to an account, which is the key unless
// Settings.Accounts says otherwise: another one's keys are told 404, in path and body. What takes time (a batch, a fine-tuning job,
// a response in the background) gets on a step whenever somebody looks at it; see work.
//
// What takes time upstream is done when somebody looks: runs of threads and of evals, videos; see ways. A run of a thread waits
// first for what a function returned, if there is one to call, and is streamed with "stream": true.
//
// With Settings.RPM or TPM every account has rate limits for each model, which say truly in x-ratelimit headers how they
// stand and refuse with 429 what goes beyond them.
//
// Benchmarks share their cores with it, so a plain chat completion costs as little as net/http allows: its parts are
// built when the settings change, and bodies over 64 KiB are looked at from both ends only (see peek). Remembering
// requests costs a hash of each body; benchmarks set Settings.Requests to 0.
package mockopenai
