package secret

import "reflect"

// In gives the references that settings hold: those in the fields, lists and
// maps of what v is or points to. Settings have no cycles.
func In(v any) []Ref { return in(reflect.ValueOf(v)) }

func in(v reflect.Value) (out []Ref) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			out = in(v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Ref]() {
			r := Ref{Env: v.Field(0).String(), File: v.Field(1).String(), Credential: v.Field(2).String()}
			if !r.IsZero() {
				out = []Ref{r}
			}
			return out
		}
		for i := range v.NumField() {
			out = append(out, in(v.Field(i))...)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			out = append(out, in(v.Index(i))...)
		}
	case reflect.Map:
		for m := v.MapRange(); m.Next(); {
			out = append(out, in(m.Value())...)
		}
	}
	return out
}
