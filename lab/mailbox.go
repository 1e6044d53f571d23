package lab

import (
	"bytes"
	"errors"
	"io"
	"log"
	"sync"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// A mailbox is what arrives at mxprobe, to be read over IMAP.
type mailbox struct {
	user *imapmemserver.User

	mu   sync.Mutex
	idle map[chan struct{}]struct{} // told when the mailbox changes
}

// maxMail bounds the messages in the mailbox.
const maxMail = 10000

var errFull = errors.New("mailbox full")

func newMailbox(password string) (*mailbox, error) {
	m := &mailbox{user: imapmemserver.NewUser(probeLocal, password), idle: map[chan struct{}]struct{}{}}
	return m, m.user.Create("INBOX", nil)
}

// deliver puts a message into the inbox.
func (m *mailbox) deliver(data []byte) error {
	status, err := m.user.Status("INBOX", &imap.StatusOptions{NumMessages: true})
	if err != nil {
		return err
	}
	if *status.NumMessages >= maxMail {
		return errFull
	}
	if _, err := m.user.Append("INBOX", bytes.NewReader(data), &imap.AppendOptions{}); err != nil {
		return err
	}
	m.changed()
	return nil
}

func (m *mailbox) changed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c := range m.idle {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// serve serves a listener until stop is called, which waits for the sessions.
func (m *mailbox) serve(l *limited) (stop func()) {
	s := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return &session{UserSession: imapmemserver.NewUserSession(nil), box: m}, nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		InsecureAuth: true, // on loopback only
		Logger:       log.New(io.Discard, "", 0),
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(l) // ends when the listener is closed
	}()
	return func() {
		_ = l.Close() // closed by its block too
		<-ended
		_ = s.Close() // its listener is closed
		l.wait()
	}
}

// A session is one IMAP connection.
type session struct {
	*imapmemserver.UserSession // without a user until Login
	box                        *mailbox
}

// Login opens the mailbox to who knows the password.
func (s *session) Login(user, password string) error {
	if err := s.box.user.Login(user, password); err != nil {
		return err
	}
	s.UserSession = imapmemserver.NewUserSession(s.box.user)
	return nil
}

// Store changes flags, and lets others know.
func (s *session) Store(w *imapserver.FetchWriter, set imap.NumSet, flags *imap.StoreFlags, o *imap.StoreOptions) error {
	defer s.box.changed()
	return s.UserSession.Store(w, set, flags, o)
}

// Expunge removes what is marked as deleted, and lets others know.
func (s *session) Expunge(w *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	defer s.box.changed()
	return s.UserSession.Expunge(w, uids)
}

// Idle reports changes (RFC 2177). The library's own misses a message that
// arrives between the command before and this one.
func (s *session) Idle(w *imapserver.UpdateWriter, stop <-chan struct{}) error {
	changed := make(chan struct{}, 1)
	changed <- struct{}{}
	s.box.mu.Lock()
	s.box.idle[changed] = struct{}{}
	s.box.mu.Unlock()
	defer func() {
		s.box.mu.Lock()
		delete(s.box.idle, changed)
		s.box.mu.Unlock()
	}()
	for {
		select {
		case <-stop:
			return nil
		case <-changed:
			if err := s.Poll(w, true); err != nil {
				return err
			}
		}
	}
}

var _ imapserver.SessionIMAP4rev2 = (*session)(nil)
