// Package cluster tests the chart with pods that run: on a real node that make test/cluster brings up and takes away again. The
// simulator's book judges, as everywhere. There is no Go in it but the tests.
package cluster
