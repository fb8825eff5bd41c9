// Package debian holds the script that installs Debian packages for targets of the Makefile, and its tests.
package debian
