package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// Bounds of a conversation with an IMAP server.
const (
	imapTime   = 30 * time.Second // for one look, IDLE apart
	idleTime   = 5 * time.Second  // of one IDLE: a server that forgets to tell is asked all the same
	maxBounces = 100              // read in one look
	maxSwept   = 1000             // leftovers deleted at once
	maxIMAP    = 512 << 20        // bytes that a server may say in one connection; then there is a new one
)

// A mailbox shows arrivals, bounces, or both, over IMAP. Nothing of it is
// remembered by UID from one look to the next, except which bounces were read
// under one UIDVALIDITY: it may be another mailbox then (RFC 3501 section 2.3.1.1).
type mailbox struct {
	settings          IMAP
	arrivals, bounces bool
	door              *door

	client *imapclient.Client
	news   chan struct{} // the server told of a new message
	valid  uint32        // UIDVALIDITY of what was read
	read   map[imap.UID]bool
}

func newMailbox(s IMAP, arrivals, bounces bool, d *door) *mailbox {
	return &mailbox{settings: s, arrivals: arrivals, bounces: bounces, door: d}
}

// String names it for errors.
func (m *mailbox) String() string {
	if !m.arrivals {
		return "IMAP for bounces"
	}
	return "IMAP"
}

func (m *mailbox) mark() {} // the search goes back far enough

func (m *mailbox) close() {
	if m.client != nil {
		_ = m.client.Close() // nothing is under way
		m.client = nil
	}
}

// look asks for all tokens, and reads new bounces. The connection is kept while
// it works.
func (m *mailbox) look(ctx context.Context, a *arrivals) error {
	if m.client == nil {
		if err := m.door.knock(time.Now()); err != nil {
			return err
		}
		err := m.connect(ctx)
		if ctx.Err() == nil {
			m.door.heed(time.Now(), err)
		}
		if err != nil {
			return err
		}
	}
	c := m.client
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	late := time.AfterFunc(imapTime, func() { _ = c.Close() })
	err := m.ask(c, a)
	late.Stop()
	if err != nil {
		m.close() // a new one is made for the next look
	}
	return err
}

func (m *mailbox) ask(c *imapclient.Client, a *arrivals) error {
	select {
	case <-m.news: // what it was about is seen now
	default:
	}
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		return fmt.Errorf("select: %w", err)
	}
	if box.UIDValidity != m.valid || m.read == nil {
		m.valid, m.read = box.UIDValidity, map[imap.UID]bool{}
	}
	if m.arrivals {
		if err := m.search(c, a); err != nil {
			return err
		}
	}
	if m.bounces {
		if err := m.readBounces(c, a); err != nil {
			return err
		}
	}
	if before, yes := a.sweeps(m.String()); yes {
		return m.sweep(c, a.from, before)
	}
	return nil
}

// rest waits for the server to tell of a new message (RFC 2177), if it can.
func (m *mailbox) rest(ctx context.Context) {
	c := m.client
	if !c.Caps().Has(imap.CapIdle) && !c.Caps().Has(imap.CapIMAP4rev2) {
		return
	}
	late := time.AfterFunc(idleTime+imapTime, func() { _ = c.Close() })
	defer late.Stop()
	cmd, err := c.Idle()
	if err != nil {
		m.close() // a new one is made for the next look, which tells what is wrong
		return
	}
	t := time.NewTimer(idleTime)
	defer t.Stop()
	select {
	case <-m.news:
	case <-t.C:
	case <-ctx.Done():
	case <-c.Closed():
	}
	if ctx.Err() != nil || errors.Join(cmd.Close(), cmd.Wait()) != nil {
		m.close()
	}
}

// search lets the server look for each token; mailboxes may be big. All are asked
// before the first is answered.
func (m *mailbox) search(c *imapclient.Client, a *arrivals) error {
	tokens := a.tokens()
	asked := make([]*imapclient.SearchCommand, 0, len(tokens))
	for _, token := range tokens {
		asked = append(asked, c.UIDSearch(&imap.SearchCriteria{
			Since:  a.now().Add(-lookBack),
			Header: []imap.SearchCriteriaHeaderField{{Key: tokenHeader, Value: token}},
		}, nil))
	}
	var err error
	var hits []imap.UID
	for _, cmd := range asked { // every answer is waited for, whatever one of them says
		found, e := cmd.Wait()
		if e != nil {
			err = fmt.Errorf("search: %w", e)
			continue
		}
		uids := found.AllUIDs()
		hits = append(hits, uids[:min(len(uids), maxCopies)]...)
	}
	if err != nil || len(hits) == 0 {
		return err
	}
	return m.take(c, a, hits)
}

// take hands on the headers of probes, and deletes those that are ours.
// The server's word that they are some is not enough for that. They are deleted all
// at once: a server may take long over each time.
func (m *mailbox) take(c *imapclient.Client, a *arrivals, uids []imap.UID) error {
	headers, err := peek(c, uids, imap.PartSpecifierHeader, maxHeader)
	if err != nil {
		return err
	}
	var ours []imap.UID
	var tokens []string
	for uid, header := range headers {
		token := field(header, tokenHeader)
		if isToken(token) && a.tell(token, outcome{where: "IMAP", header: header, hops: parseReceived(header)}) {
			ours, tokens = append(ours, uid), append(tokens, token)
		}
	}
	if err := remove(c, ours); err != nil {
		return err
	}
	a.deleted(tokens...)
	return nil
}

// maxCopies bounds how many copies of one probe are looked at.
const maxCopies = 20

// readBounces reads what looks like a bounce and was not read before.
func (m *mailbox) readBounces(c *imapclient.Client, a *arrivals) error {
	kind := func(key, value string) imap.SearchCriteria {
		return imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: key, Value: value}}}
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{
		Since: a.now().Add(-lookBack),
		Or: [][2]imap.SearchCriteria{{
			kind("Content-Type", "multipart/report"),
			{Or: [][2]imap.SearchCriteria{{kind("From", "mailer-daemon"), kind("Return-Path", "<>")}}},
		}},
	}, nil).Wait()
	if err != nil {
		return fmt.Errorf("search for bounces: %w", err)
	}
	uids := slices.DeleteFunc(found.AllUIDs(), func(u imap.UID) bool { return m.read[u] })
	slices.Sort(uids)
	uids = uids[max(0, len(uids)-maxBounces):]
	texts, err := peek(c, uids, imap.PartSpecifierNone, maxBounce)
	if err != nil {
		return err
	}
	var ours []imap.UID
	for _, uid := range uids {
		if a.bounced(texts[uid]) {
			ours = append(ours, uid)
		} else {
			m.read[uid] = true
		}
	}
	return remove(c, ours)
}

// sweep deletes what crashed runs left behind: probes of ours, by their header and
// sender, that are older than a day.
func (m *mailbox) sweep(c *imapclient.Client, from string, before time.Time) error {
	found, err := c.UIDSearch(&imap.SearchCriteria{
		Before: before,
		Header: []imap.SearchCriteriaHeaderField{{Key: tokenHeader}, {Key: "From", Value: from}},
	}, nil).Wait()
	if err != nil {
		return fmt.Errorf("search for leftovers: %w", err)
	}
	uids := found.AllUIDs()
	headers, err := peek(c, uids[:min(len(uids), maxSwept)], imap.PartSpecifierHeader, maxHeader)
	if err != nil {
		return err
	}
	var ours []imap.UID
	for uid, header := range headers {
		if isOurs(header, from) {
			ours = append(ours, uid)
		}
	}
	return remove(c, ours)
}

// isOurs tells whether a header is that of a probe from a sender.
func isOurs(header, from string) bool {
	return isToken(field(header, tokenHeader)) && strings.EqualFold(field(header, "From"), "<"+from+">")
}

// peek reads the beginnings of messages, or of their headers, and leaves them
// unseen. Those that somebody deleted meanwhile are missing.
func peek(c *imapclient.Client, uids []imap.UID, part imap.PartSpecifier, most int64) (map[imap.UID]string, error) {
	out := map[imap.UID]string{}
	for some := range slices.Chunk(uids, 10) { // bounded together
		section := &imap.FetchItemBodySection{Specifier: part, Peek: true, Partial: &imap.SectionPartial{Size: most}}
		msgs, err := c.Fetch(imap.UIDSetNum(some...), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
		if err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		for _, msg := range msgs {
			for _, s := range msg.BodySection {
				if slices.Contains(some, msg.UID) {
					out[msg.UID] = string(s.Bytes[:min(int64(len(s.Bytes)), most)])
				}
			}
		}
	}
	return out, nil
}

// remove deletes messages. Others that are marked as deleted stay: where the server
// cannot tell them apart (UIDPLUS, RFC 4315), ours are only marked while there are
// others.
func remove(c *imapclient.Client, uids []imap.UID) error {
	if len(uids) == 0 {
		return nil
	}
	set := imap.UIDSetNum(uids...)
	store := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}, Silent: true}
	if err := c.Store(set, store, nil).Close(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if c.Caps().Has(imap.CapUIDPlus) || c.Caps().Has(imap.CapIMAP4rev2) {
		if err := c.UIDExpunge(set).Close(); err != nil {
			return fmt.Errorf("expunge: %w", err)
		}
		return nil
	}
	marked, err := c.UIDSearch(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagDeleted}}, nil).Wait()
	if err != nil {
		return fmt.Errorf("search for what is deleted: %w", err)
	}
	if slices.ContainsFunc(marked.AllUIDs(), func(u imap.UID) bool { return !slices.Contains(uids, u) }) {
		return nil
	}
	if err := c.Expunge().Close(); err != nil {
		return fmt.Errorf("expunge: %w", err)
	}
	return nil
}

// connect connects and logs in.
func (m *mailbox) connect(ctx context.Context) error {
	s := m.settings
	password := ""
	if s.Password != nil {
		var err error
		if password, err = s.Password(); err != nil {
			return err
		}
	}
	conf, err := s.tls()
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{Timeout: imapTime}).DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	late := time.AfterFunc(imapTime, func() { conn.Close() })
	defer late.Stop()
	bounded := &boundedConn{Conn: conn, left: maxIMAP}
	m.news = make(chan struct{}, 1)
	news := m.news
	o := &imapclient.Options{TLSConfig: conf, UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				select {
				case news <- struct{}{}:
				default:
				}
			}
		},
	}}
	var c *imapclient.Client
	switch s.TLS {
	case "", "implicit":
		conf.NextProtos = []string{"imap"}
		c = imapclient.New(tls.Client(bounded, conf), o)
	case "none":
		c = imapclient.New(bounded, o)
	case "starttls":
		if c, err = imapclient.NewStartTLS(bounded, o); err != nil {
			conn.Close()
			return err
		}
	default:
		conn.Close()
		return fmt.Errorf("tls %q: implicit, starttls or none was expected", s.TLS)
	}
	if err := c.Login(s.User, password).Wait(); err != nil {
		_ = c.Close() // the error counts
		return fmt.Errorf("login of %s: %w", s.User, err)
	}
	m.client = c
	return nil
}

// tls is how the server proves who it is.
func (s IMAP) tls() (*tls.Config, error) {
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", s.Address, err)
	}
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if s.CAFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", s.CAFile)
	}
	return conf, nil
}
