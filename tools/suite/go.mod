module github.com/agogopay/agogo/tools/suite

go 1.26.0
