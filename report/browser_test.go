//go:build integration

package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A browser is a headless Chromium with one page, spoken to over its own pipe
// (https://chromedevtools.github.io/devtools-protocol/): no port, no library.
type browser struct {
	t       testing.TB
	in      *os.File
	out     *bufio.Reader
	n       int
	session string
	events  []message // that came since the page was opened
}

type message struct {
	ID        int             `json:"id,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

func startBrowser(t testing.TB) *browser {
	t.Helper()
	dir := t.TempDir()
	theirIn, ourIn, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourOut, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// The profile is removed by hand: the last child may write there while it ends.
	cmd := exec.CommandContext(t.Context(), "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--no-first-run", "--disable-background-networking", "--remote-debugging-pipe", "--user-data-dir="+filepath.Join(dir, "profile"), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("chromium: %v; scripts/servers installs it", err)
	}
	theirIn.Close()
	theirOut.Close()
	b := &browser{t: t, in: ourIn, out: bufio.NewReaderSize(ourOut, 1<<20)}
	t.Cleanup(func() {
		b.session = ""
		b.send("Browser.close", nil)
		ourIn.Close()
		_ = cmd.Wait() // it was told to end, or is killed by the context
		ourOut.Close()
	})
	watchdog := time.AfterFunc(2*time.Minute, func() { ourOut.Close() })
	t.Cleanup(func() { watchdog.Stop() })
	return b
}

func (b *browser) send(method string, with any) int {
	b.n++
	p, err := json.Marshal(with)
	if err != nil {
		b.t.Fatal(err)
	}
	m := message{ID: b.n, Method: method, SessionID: b.session}
	if with != nil {
		m.Params = p
	}
	text, err := json.Marshal(m)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(text, 0)); err != nil {
		b.t.Logf("chromium: %v", err)
	}
	return b.n
}

func (b *browser) receive() message {
	b.t.Helper()
	text, err := b.out.ReadBytes(0)
	if err != nil {
		b.t.Fatalf("chromium says no more: %v", err)
	}
	var m message
	if err := json.Unmarshal(text[:len(text)-1], &m); err != nil {
		b.t.Fatal(err)
	}
	return m
}

// call waits for the answer to a command; events that come before it are kept.
func (b *browser) call(method string, with, result any) {
	b.t.Helper()
	id := b.send(method, with)
	for {
		m := b.receive()
		switch {
		case m.ID == 0:
			b.events = append(b.events, m)
			continue
		case m.ID != id:
			continue
		case m.Error != nil:
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		case result != nil:
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatal(err)
			}
		}
		return
	}
}

// wait waits for an event.
func (b *browser) wait(method string) {
	b.t.Helper()
	for {
		for _, e := range b.events {
			if e.Method == method {
				return
			}
		}
		b.events = append(b.events, b.receive())
	}
}

type params = map[string]any

// open loads a page from a file into a new tab.
func (b *browser) open(page []byte) string {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "report.html")
	if err := os.WriteFile(file, page, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.session, b.events = "", nil
	var target struct{ TargetID string }
	b.call("Target.createTarget", params{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Network", "Runtime", "Log"} {
		b.call(domain+".enable", params{}, nil)
	}
	b.call("Page.navigate", params{"url": "file://" + file}, nil)
	b.wait("Page.loadEventFired")
	return "file://" + file
}

// eval is the value of an expression on the page, a promise's too.
func (b *browser) eval(expression string, into any) {
	b.t.Helper()
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", params{"expression": expression, "returnByValue": true, "awaitPromise": true}, &out)
	if out.ExceptionDetails != nil {
		b.t.Fatalf("%.200s: %s", expression, out.ExceptionDetails)
	}
	if len(out.Result.Value) == 0 {
		out.Result.Value = []byte("null")
	}
	if err := json.Unmarshal(out.Result.Value, into); err != nil {
		b.t.Fatalf("%.200s: %s: %v", expression, out.Result.Value, err)
	}
}

func (b *browser) number(expression string) (n float64) {
	b.t.Helper()
	b.eval(expression, &n)
	return n
}

// scheme asks for dark or light, on a screen or on paper.
func (b *browser) scheme(media, scheme string) {
	b.t.Helper()
	b.call("Emulation.setEmulatedMedia", params{"media": media, "features": []params{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

func (b *browser) size(width, height int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", params{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// loaded lists what the page asked the network for.
func (b *browser) loaded() (urls []string) {
	for _, e := range b.events {
		if e.Method != "Network.requestWillBeSent" {
			continue
		}
		var p struct{ Request struct{ URL string } }
		if err := json.Unmarshal(e.Params, &p); err != nil {
			b.t.Fatal(err)
		}
		urls = append(urls, p.Request.URL)
	}
	return urls
}

// complaints are what the page wrote to the console, and what it threw.
func (b *browser) complaints() (out []string) {
	for _, e := range b.events {
		switch e.Method {
		case "Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Page.javascriptDialogOpening":
			out = append(out, fmt.Sprintf("%s: %.500s", e.Method, e.Params))
		}
	}
	return out
}
