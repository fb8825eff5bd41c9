// Package systemd is the units and the installer of an installation on one machine. There is no Go in it but what tests them.
package systemd
