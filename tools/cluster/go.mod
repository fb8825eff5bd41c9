module github.com/agogopay/agogo/tools/cluster

go 1.26.0
