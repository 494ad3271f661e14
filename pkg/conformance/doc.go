// Package conformance proves with the real binaries that the official SDKs work unchanged through the proxy, and that
// every example in the READMEs does what it says. It is a module of its own, so that no SDK becomes part of the proxy.
package conformance
