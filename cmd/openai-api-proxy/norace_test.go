//go:build !race

package main

// roomOf is the part of a body by which the proxy may grow: the garbage of a moment, and what is held of one whose length is not
// known.
const roomOf = 8
