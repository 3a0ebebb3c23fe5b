// Package proto holds the written contracts: the .proto files with their Go, and the HTTP and Kafka documents.
package proto

import _ "embed"

// OpenAPI is the description of the HTTP API.
//
//go:embed openapi.yaml
var OpenAPI []byte

// AsyncAPI is the description of what goes over Kafka and Socket.IO.
//
//go:embed asyncapi.yaml
var AsyncAPI []byte
