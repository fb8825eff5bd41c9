// This module only pins where the definitions of operators' kinds come from, for tests of the chart: Prometheus, cert-manager,
// CloudNativePG and KEDA. Nothing of them is built.
module github.com/agogopay/agogo/tools/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/cloudnative-pg/cloudnative-pg v1.27.0
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
