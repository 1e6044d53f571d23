package firewall

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// Lab drives the firewall of an embedded world, over HTTP on a unix socket.
type Lab struct{ http *http.Client }

// labTime bounds one call, labBody its answer in bytes.
const (
	labTime = 10 * time.Second
	labBody = 16 << 20
)

func openLab(s Settings) (Driver, error) {
	if s.Socket == "" {
		return nil, errors.New("lab: isolate.socket was expected")
	}
	return &Lab{http: &http.Client{Timeout: labTime, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", s.Socket)
		},
		DisableKeepAlives: true,
	}}}, nil
}

type ruling struct {
	Rules Rules     `json:"rules"`
	Until time.Time `json:"until"`
}

// Apply puts rules in force.
func (l *Lab) Apply(ctx context.Context, r Rules, until time.Time) error {
	if err := r.Check(); err != nil {
		return err
	}
	body, err := json.Marshal(ruling{Rules: r, Until: until})
	if err != nil {
		return fmt.Errorf("lab firewall: %w", err)
	}
	return l.call(ctx, http.MethodPut, "rules", bytes.NewReader(body), nil)
}

// Keep writes rules down for the next boot.
func (l *Lab) Keep(ctx context.Context, r Rules) error {
	body, err := json.Marshal(ruling{Rules: r.canonical()})
	if err != nil {
		return fmt.Errorf("lab firewall: %w", err)
	}
	return l.call(ctx, http.MethodPut, "kept", bytes.NewReader(body), nil)
}

// Kept tells whether the next boot closes with just these rules.
func (l *Lab) Kept(ctx context.Context, r Rules) (bool, error) {
	var have ruling
	err := l.call(ctx, http.MethodGet, "kept", nil, &have)
	r, kept := r.canonical(), have.Rules.canonical()
	return err == nil && len(kept.Ports) > 0 && slices.Equal(kept.Ports, r.Ports) && slices.Equal(kept.Trust, r.Trust) && kept.Action == r.Action, err
}

// Loaded reads back what is in force.
func (l *Lab) Loaded(ctx context.Context) (Rules, time.Time, error) {
	var r ruling
	err := l.call(ctx, http.MethodGet, "rules", nil, &r)
	return r.Rules, r.Until, err
}

// Seen counts refused connections.
func (l *Lab) Seen(ctx context.Context) (map[netip.AddrPort]uint64, error) {
	var list []struct {
		Addr  netip.AddrPort `json:"addr"`
		Count uint64         `json:"count"`
	}
	if err := l.call(ctx, http.MethodGet, "seen", nil, &list); err != nil {
		return nil, err
	}
	seen := map[netip.AddrPort]uint64{}
	for _, s := range list {
		seen[s.Addr] += s.Count
	}
	return seen, nil
}

func (l *Lab) call(ctx context.Context, method, what string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://firewall/"+what, body)
	if err != nil {
		return fmt.Errorf("lab firewall: %w", err)
	}
	reply, err := l.http.Do(req)
	if err != nil {
		return fmt.Errorf("lab firewall: %w", err)
	}
	defer reply.Body.Close()
	b, err := io.ReadAll(io.LimitReader(reply.Body, labBody))
	if err != nil {
		return fmt.Errorf("lab firewall: %w", err)
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("lab firewall: %s: %.200s", reply.Status, b)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("lab firewall: %w", err)
	}
	return nil
}
