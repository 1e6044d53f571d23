package verify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// errNotArrived means that the mailbox was asked, and the probe was not there.
var errNotArrived = errors.New("it did not arrive")

const (
	mailboxPoll = 300 * time.Millisecond
	imapTime    = 30 * time.Second // for one round of questions
	maxHeader   = 256 << 10        // bytes of one message's header
)

// mailbox finds probes by their tokens. All that wait share one connection and
// one poller, which ends when nobody waits.
type mailbox struct {
	settings IMAP
	mu       sync.Mutex
	waiting  map[string]chan string // token -> header, once
	failed   error                  // of the last round
	rounds   int                    // that succeeded
	polling  bool
}

func newMailbox(s IMAP) *mailbox {
	return &mailbox{settings: s, waiting: map[string]chan string{}}
}

// find waits until the message with a token is there, gives its header, and
// deletes it. Its time-out is [errNotArrived] only if the mailbox was asked
// with success in the end.
func (m *mailbox) find(ctx context.Context, token string, patience time.Duration) (string, error) {
	if m.settings.Address == "" {
		return "", errors.New("probe.arrival is not configured")
	}
	got := make(chan string, 1)
	m.mu.Lock()
	m.waiting[token] = got
	if !m.polling {
		m.polling, m.rounds = true, 0
		go m.poll() // ends when nobody waits
	}
	m.mu.Unlock()
	t := time.NewTimer(patience)
	defer t.Stop()
	defer m.leave(token)
	select {
	case header := <-got:
		return header, nil
	case <-ctx.Done():
		return "", ctx.Err()
	case <-t.C:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil || m.rounds == 0 {
		return "", errors.Join(errors.New("IMAP"), m.failed)
	}
	return "", errNotArrived
}

func (m *mailbox) leave(token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.waiting, token)
}

// poll asks for all tokens in turn until nobody waits.
func (m *mailbox) poll() {
	var c *imapclient.Client
	defer func() {
		if c != nil {
			_ = c.Close() // nothing is under way
		}
	}()
	for {
		m.mu.Lock()
		if len(m.waiting) == 0 {
			m.polling = false
			m.mu.Unlock()
			return
		}
		var tokens []string
		for t := range m.waiting {
			tokens = append(tokens, t)
		}
		m.mu.Unlock()
		err := m.round(&c, tokens)
		m.mu.Lock()
		if m.failed = err; err == nil {
			m.rounds++
		}
		m.mu.Unlock()
		time.Sleep(mailboxPoll)
	}
}

// round asks once for each token. The connection is kept while it works.
func (m *mailbox) round(c **imapclient.Client, tokens []string) (err error) {
	if *c == nil {
		if *c, err = m.connect(); err != nil {
			return err
		}
	}
	client := *c
	stop := time.AfterFunc(imapTime, func() { _ = client.Close() })
	defer stop.Stop()
	if err = m.search(client, tokens); err != nil {
		_ = client.Close() // a new one is made for the next round
		*c = nil
	}
	return err
}

func (m *mailbox) search(c *imapclient.Client, tokens []string) error {
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		return fmt.Errorf("select: %w", err)
	}
	for _, token := range tokens {
		found, err := c.UIDSearch(&imap.SearchCriteria{
			Header: []imap.SearchCriteriaHeaderField{{Key: tokenHeader, Value: token}},
		}, nil).Wait()
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
		uids := found.AllUIDs()
		if len(uids) == 0 {
			continue
		}
		header, err := m.fetch(c, uids[0])
		if err != nil {
			return err
		}
		m.hand(token, header)
		if err := remove(c, uids); err != nil {
			return err
		}
	}
	return nil
}

func (m *mailbox) hand(token, header string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if got, ok := m.waiting[token]; ok {
		select {
		case got <- header:
		default: // it has one already
		}
	}
}

func (m *mailbox) fetch(c *imapclient.Client, uid imap.UID) (string, error) {
	section := &imap.FetchItemBodySection{
		Specifier: imap.PartSpecifierHeader, Peek: true, Partial: &imap.SectionPartial{Size: maxHeader},
	}
	msgs, err := c.Fetch(imap.UIDSetNum(uid), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		return "", fmt.Errorf("fetch: %w", err)
	}
	for _, msg := range msgs {
		for _, s := range msg.BodySection {
			return string(s.Bytes), nil
		}
	}
	return "", errors.New("fetch: the message has no header")
}

// remove deletes probes. Other messages marked as deleted stay, where the server
// can tell them apart (UIDPLUS, RFC 4315).
func remove(c *imapclient.Client, uids []imap.UID) error {
	set := imap.UIDSetNum(uids...)
	store := &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}, Silent: true}
	if err := c.Store(set, store, nil).Close(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if c.Caps().Has(imap.CapUIDPlus) || c.Caps().Has(imap.CapIMAP4rev2) {
		if err := c.UIDExpunge(set).Close(); err != nil {
			return fmt.Errorf("expunge: %w", err)
		}
	}
	return nil
}

func (m *mailbox) connect() (*imapclient.Client, error) {
	s := m.settings
	password := ""
	if s.Password != nil {
		var err error
		if password, err = s.Password(); err != nil {
			return nil, err
		}
	}
	host, _, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", s.Address, err)
	}
	conf := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificate authority: %w", err)
		}
		if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", s.CAFile)
		}
	}
	o := &imapclient.Options{TLSConfig: conf, Dialer: &net.Dialer{Timeout: imapTime}}
	dial := map[string]func(string, *imapclient.Options) (*imapclient.Client, error){
		"": imapclient.DialTLS, "implicit": imapclient.DialTLS, "starttls": imapclient.DialStartTLS, "none": imapclient.DialInsecure,
	}[s.TLS]
	if dial == nil {
		return nil, fmt.Errorf("tls %q: implicit, starttls or none was expected", s.TLS)
	}
	c, err := dial(s.Address, o)
	if err != nil {
		return nil, err
	}
	stop := time.AfterFunc(imapTime, func() { _ = c.Close() })
	defer stop.Stop()
	if err := c.Login(s.User, password).Wait(); err != nil {
		_ = c.Close() // the error counts
		return nil, fmt.Errorf("login of %s: %w", s.User, err)
	}
	return c, nil
}
