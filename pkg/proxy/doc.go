// Package proxy holds the nouns that two floors share: who calls (Client), with what it is paid (Key), what is asked
// (Call), how an attempt ended (Outcome), why a caller is refused (Fault) and what is remembered of it (Record). It does
// no I/O and imports only the wire format, so any package may use it.
package proxy
