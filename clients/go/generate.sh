#!/bin/sh
# Generates akinv1/ from the protos and copies the service config.
#
# Run it in clients/go. PYTHON is a Python interpreter with grpcio-tools, which contains protoc.
set -eu

PYTHON=${PYTHON:-../../.venv/bin/python}
PROTOS=../../protos
MODULE=akin.dev/go

GOBIN=$(mktemp -d)
export GOBIN
trap 'rm -rf "$GOBIN"' EXIT
go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2

# The go_package option of the protos names no module. These options set the module of each file.
set --
for path in "$PROTOS"/akin/v1/*.proto; do
	file=akin/v1/$(basename "$path")
	set -- "$@" "--go_opt=M$file=$MODULE/akinv1" "--go-grpc_opt=M$file=$MODULE/akinv1" "$file"
done

mkdir -p akinv1
rm -f akinv1/*.pb.go
PATH=$GOBIN:$PATH "$PYTHON" -m grpc_tools.protoc -I"$PROTOS" \
	--go_out=. --go_opt=module=$MODULE \
	--go-grpc_out=. --go-grpc_opt=module=$MODULE "$@"
cp "$PROTOS/akin/v1/service_config.json" service_config.json
