package secret_test

import (
	"slices"
	"testing"

	"mxcutover/secret"
)

func TestIn(t *testing.T) {
	t.Parallel()
	type login struct {
		User     string
		Password secret.Ref
	}
	got := secret.In(&struct {
		Key    secret.Ref
		None   secret.Ref
		Nobody *login
		Logins []login
		ByZone map[string]*secret.Ref
		Any    any
		inner  login
	}{
		Key: secret.Ref{File: "/key"}, Logins: []login{{"a", secret.Ref{Env: "A"}}, {"b", secret.Ref{Env: "B"}}},
		ByZone: map[string]*secret.Ref{"z": {Credential: "z"}}, Any: login{"c", secret.Ref{Env: "C"}}, inner: login{"d", secret.Ref{Env: "D"}},
	})
	want := []secret.Ref{{File: "/key"}, {Env: "A"}, {Env: "B"}, {Credential: "z"}, {Env: "C"}, {Env: "D"}}
	if !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if got := secret.In(nil); got != nil {
		t.Errorf("nothing holds %v", got)
	}
}
