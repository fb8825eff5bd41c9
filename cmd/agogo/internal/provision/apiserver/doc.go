// Package apiserver tests the chart against a real Kubernetes API server. There is no Go in it but the tests (make test/apiserver).
package apiserver
