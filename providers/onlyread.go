package providers

import (
	"context"
	"io"

	"github.com/libdns/libdns"

	"mxcutover/rrset"
)

// OnlyRead is a provider that is read as p is, and through which nothing can be
// written: every Replace and Restore fails with [ErrReadOnly], a scratch record's too.
func OnlyRead(p Provider) Provider { return onlyRead{p} }

// onlyRead has the methods that read, and no other: what it wraps is out of reach.
type onlyRead struct{ from Provider }

func (o onlyRead) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	return o.from.GetRecords(ctx, zone)
}

func (o onlyRead) Read(ctx context.Context, zone, name, typ string) (rrset.Set, error) {
	return Read(ctx, o.from, zone, name, typ)
}

func (o onlyRead) Zone(ctx context.Context, zone string) ([]rrset.Set, error) {
	return Zone(ctx, o.from, zone)
}

// Close closes the connections that reading has opened.
func (o onlyRead) Close() error {
	if c, ok := o.from.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
