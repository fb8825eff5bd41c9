// Package examples holds the sample tenants and their data, so that a single binary can show itself.
package examples

import "embed"

// Tenants is tenants.yaml, the tenants file of the demonstration.
//
//go:embed tenants.yaml
var Tenants []byte

// Data holds one folder per tenant with what its demonstration imports and what it must come to.
//
//go:embed lebenis wallclub
var Data embed.FS
