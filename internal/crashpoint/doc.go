// Package crashpoint names the places where a process may die with the most to lose. Tests arm one to kill the process
// there; release binaries (built without the tag "crashpoints") contain none of it.
package crashpoint
