// Package openai knows the wire: which operations there are, what a request body asks for, where usage stands in an
// answer or a stream, how an error looks. It reads beside the bytes and changes none, but for the one setting that says
// so (InjectUsage, UsageFilter). It does no I/O.
//
// Bodies are read with gjson, not decoded: a proxy needs three fields of a document that may be tens of megabytes.
package openai
