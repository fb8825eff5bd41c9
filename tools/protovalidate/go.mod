// This module only pins the version of validate.proto, which buf reads when it generates code.
module github.com/agogopay/agogo/tools/protovalidate

go 1.26.0

require github.com/bufbuild/protovalidate v1.2.2
