package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"iter"
)

// An objectWriter writes one JSON object as [encode] would, but field by field, and
// lists item by item, so that a long one is never in memory as a whole.
type objectWriter struct {
	w   *bufio.Writer
	b   bytes.Buffer
	e   *json.Encoder
	sep string
	err error
}

func newObjectWriter(w io.Writer) *objectWriter {
	o := &objectWriter{w: bufio.NewWriter(w), sep: "{\n"}
	o.e = json.NewEncoder(&o.b)
	o.e.SetEscapeHTML(false)
	return o
}

// value writes a value whose lines, but for the first, begin with a prefix.
func (o *objectWriter) value(v any, prefix string) {
	if o.err != nil {
		return
	}
	o.b.Reset()
	o.e.SetIndent(prefix, "  ")
	if o.err = o.e.Encode(v); o.err == nil {
		_, o.err = o.w.Write(asciiMarks(bytes.TrimSuffix(o.b.Bytes(), []byte{'\n'})))
	}
}

func (o *objectWriter) text(s string) {
	if o.err == nil {
		_, o.err = o.w.WriteString(s)
	}
}

func (o *objectWriter) name(name string) {
	o.text(o.sep + "  ")
	o.sep = ",\n"
	o.value(name, "")
	o.text(": ")
}

func (o *objectWriter) field(name string, v any) {
	o.name(name)
	o.value(v, "  ")
}

func (o *objectWriter) list(name string, items iter.Seq[any]) {
	o.name(name)
	begin, end := "[\n    ", "[]"
	for v := range items {
		o.text(begin)
		o.value(v, "    ")
		begin, end = ",\n    ", "\n  ]"
		if o.err != nil {
			return
		}
	}
	o.text(end)
}

// end ends the object, which has at least one field.
func (o *objectWriter) end() error {
	o.text("\n}\n")
	if o.err != nil {
		return o.err
	}
	return o.w.Flush()
}
