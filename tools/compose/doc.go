// Package compose is the tests of deploy/docker/compose.yaml: the loader and the schema that Docker Compose itself uses judge it.
package compose
