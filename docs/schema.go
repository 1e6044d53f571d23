package docs

import _ "embed" // the schema

//go:embed mxcutover.schema.json
var schema []byte

// Schema is the JSON schema (draft 7) of the configuration file, for editors. It is made
// from what package config decodes and checks; see config/schema_test.go.
func Schema() []byte { return schema }
