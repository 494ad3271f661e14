//go:build race

package main

// roomOf is the part of a body by which the proxy may grow: the race detector keeps several bytes for each that is touched.
const roomOf = 2
