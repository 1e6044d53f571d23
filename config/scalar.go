package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// scalar fills Go's own simple kinds, and an empty interface.
func (d *decoder) scalar(n *node, v reflect.Value, key string, r rule) {
	if v.Kind() == reflect.Interface && v.NumMethod() == 0 {
		if x := anything(n); x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return
	}
	if !d.isScalar(n, key) {
		return
	}
	switch v.Kind() {
	case reflect.String:
		d.text(n, v, key, r)
	case reflect.Bool:
		d.boolean(n, v, key, r)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if r.is == "seconds" {
			d.seconds(n, v, key)
			return
		}
		d.integer(n, v, key)
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(n.text, 64)
		if n.kind != numberKind || err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
			d.wrong(n, key, "a finite number", "")
			return
		}
		v.SetFloat(x)
	default:
		d.misuse = fmt.Errorf("config: cannot decode into %s", v.Type())
	}
}

func (d *decoder) text(n *node, v reflect.Value, key string, r rule) {
	if n.kind != textKind {
		cure := "write it in quotes"
		if !d.hidden(n) {
			cure = fmt.Sprintf("write %q, in quotes", n.text)
		}
		d.wrong(n, key, "a text", cure)
		return
	}
	if n.text == "" {
		d.fault(key, "is an empty text", "write one, or leave the key out")
		return
	}
	out := n.text
	if r.is != "" {
		made, ok := d.convert(n.text, key, r.is)
		if !ok {
			return
		}
		out = made
	}
	v.SetString(out)
}

func (d *decoder) boolean(n *node, v reflect.Value, key string, r rule) {
	if r.is == "catchall" {
		if n.text != "catchall" {
			d.fault(key, "has a value that is not known", `the only one is: catchall`)
			return
		}
		v.SetBool(true)
		return
	}
	switch n.text {
	case "true", "false":
		if n.kind == boolKind {
			v.SetBool(n.text == "true")
			return
		}
	}
	d.wrong(n, key, "true or false", "")
}

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

func (d *decoder) integer(n *node, v reflect.Value, key string) {
	if n.kind != numberKind || !decimal.MatchString(n.text) {
		d.wrong(n, key, "a whole number", "")
		return
	}
	bits := v.Type().Bits()
	if v.CanUint() {
		x, err := strconv.ParseUint(n.text, 10, bits)
		if err != nil {
			d.fault(key, "is "+d.name(n)+", out of range", fmt.Sprintf("write 0 to %d", uint64(math.MaxUint64)>>(64-bits)))
			return
		}
		v.SetUint(x)
		return
	}
	x, err := strconv.ParseInt(n.text, 10, bits)
	if err != nil {
		d.fault(key, "is "+d.name(n)+", out of range", "")
		return
	}
	v.SetInt(x)
}

// duration fills a time.Duration.
func (d *decoder) duration(n *node, v reflect.Value, key string) {
	if x, ok := d.readDuration(n, key); ok {
		v.SetInt(int64(x))
	}
}

// seconds fills a whole number of seconds, which is written as a duration.
func (d *decoder) seconds(n *node, v reflect.Value, key string) {
	x, ok := d.readDuration(n, key)
	switch {
	case !ok:
	case x%time.Second != 0 || x/time.Second > math.MaxInt32:
		d.fault(key, fmt.Sprintf("%.40q is no whole number of seconds below %d", n.text, math.MaxInt32), "write 300s")
	default:
		v.SetUint(uint64(x / time.Second))
	}
}

func (d *decoder) readDuration(n *node, key string) (time.Duration, bool) {
	if !d.isScalar(n, key) {
		return 0, false
	}
	if decimal.MatchString(n.text) {
		d.fault(key, fmt.Sprintf("%.40s has no unit", n.text), fmt.Sprintf("write %.40ss if seconds are meant", n.text))
		return 0, false
	}
	x, err := parseDuration(n.text)
	if err != nil || n.kind != textKind {
		d.fault(key, fmt.Sprintf("%.40q is no duration", n.text), "write a number with its unit, as in 90s, 30m, 24h, 7d")
		return 0, false
	}
	return x, true
}

var days = regexp.MustCompile(`^([0-9]{1,6})d(.*)$`)

// parseDuration reads Go's durations, with whole days before them; never
// negative ones.
func parseDuration(s string) (time.Duration, error) {
	var whole time.Duration
	if m := days.FindStringSubmatch(s); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || n > math.MaxInt64/int64(24*time.Hour)/2 {
			return 0, errors.New("too long")
		}
		whole = time.Duration(n) * 24 * time.Hour
		if s = m[2]; s == "" {
			return whole, nil
		}
	}
	x, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, err
	case strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") || x > math.MaxInt64-whole:
		return 0, errors.New("out of range")
	}
	return whole + x, nil
}

// anything is a node as Go's plain values: nil, string, bool, int64, float64,
// []any and map[string]any.
func anything(n *node) any {
	switch n.kind {
	case textKind:
		return n.text
	case boolKind:
		return n.text == "true"
	case numberKind:
		if x, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			return x
		}
		if x, err := strconv.ParseFloat(n.text, 64); err == nil {
			return x
		}
		return n.text
	case listKind:
		out := make([]any, len(n.items))
		for i, x := range n.items {
			out[i] = anything(x)
		}
		return out
	case mappingKind:
		out := make(map[string]any, len(n.entries))
		for _, e := range n.entries {
			out[e.name] = anything(e.value)
		}
		return out
	}
	return nil
}
