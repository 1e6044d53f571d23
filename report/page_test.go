//go:build integration

package report

import (
	"bytes"
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func pageOf(t testing.TB, s *Story) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.HTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sampleStory is a migration of 120 domains, with a verification of its own.
func sampleStory(t testing.TB) *Story {
	m := makeUp(t, 120, nil)
	m.closeOld()
	s := loaded(m.story())
	v := sampleVerification()
	s.Verified = &v
	return s
}

// TestIntegrationPageIsInert opens pages full of hostile text: nothing of it runs,
// nothing is asked of the network, and nobody is asked anything.
func TestIntegrationPageIsInert(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	var hostileFindings bytes.Buffer
	if err := hostileVerification().HTML(&hostileFindings); err != nil {
		t.Fatal(err)
	}
	for name, page := range map[string][]byte{"story": pageOf(t, hostileStory(t)), "verification": hostileFindings.Bytes(), "plain": pageOf(t, sampleStory(t))} {
		url := b.open(page)
		if got := b.loaded(); !slices.Equal(got, []string{url}) {
			t.Errorf("%s: it loads %q", name, got)
		}
		if got := b.complaints(); len(got) > 0 {
			t.Errorf("%s: %s", name, got)
		}
		if n := b.number(`typeof window.pwned === "undefined" ? 0 : 1`); n != 0 {
			t.Errorf("%s: a hostile text ran", name)
		}
		if n := b.number(`document.querySelectorAll("script, style").length`); n != 2 {
			t.Errorf("%s: %v scripts and styles", name, n)
		}
		if n := b.number(`document.querySelectorAll("img, iframe, object, embed, link, base, form, foreignObject, use, animate, [style], [src]").length`); n != 0 {
			t.Errorf("%s: %v elements that nobody of us wrote", name, n)
		}
		if n := b.number(`[...document.querySelectorAll("*")].filter(e => [...e.attributes].some(a => a.name.startsWith("on") || (a.name === "href" && !a.value.startsWith("#")))).length`); n != 0 {
			t.Errorf("%s: %v handlers and links", name, n)
		}
	}
}

// TestIntegrationPolicy puts a script, a handler, a style and a picture into the
// page as an attacker would who got past everything else: the policy lets none in.
func TestIntegrationPolicy(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan struct{}, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Close()
			called <- struct{}{}
		}
	}()
	defer l.Close()
	b := startBrowser(t)
	b.open(pageOf(t, sampleStory(t)))
	var blocked []string
	b.eval(`new Promise(done => {
		const seen = [];
		document.addEventListener("securitypolicyviolation", e => { seen.push(e.effectiveDirective); if (seen.length === 5) done(seen.sort()); });
		const script = document.createElement("script"); script.textContent = "window.pwned = 1"; document.body.append(script);
		const style = document.createElement("style"); style.textContent = "body { display: none }"; document.head.append(style);
		const p = document.createElement("p"); p.innerHTML = "<b onclick='window.pwned = 1' style='color: red'>x</b>"; document.body.append(p); p.firstChild.click();
		const img = document.createElement("img"); img.src = "http://`+l.Addr().String()+`/x"; document.body.append(img);
	})`, &blocked)
	if got := strings.Join(blocked, " "); got != "img-src script-src-attr script-src-elem style-src-attr style-src-elem" {
		t.Errorf("blocked: %s", got)
	}
	if n := b.number(`window.pwned ? 1 : 0`); n != 0 {
		t.Error("a script ran")
	}
	var display string
	if b.eval(`getComputedStyle(document.body).display`, &display); display != "block" {
		t.Error("a style was taken")
	}
	select {
	case <-called:
		t.Error("a picture was asked for")
	default:
	}
}

// visible counts rows that can be seen.
const visible = `(q => [...document.querySelectorAll(q)].filter(r => getComputedStyle(r).display !== "none").length)`

// TestIntegrationFilter filters by severity, without any script, and by words.
func TestIntegrationFilter(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	b.open(pageOf(t, sampleStory(t)))
	findings := visible + `("#findings tbody tr")`
	if n := b.number(findings); n != 7 {
		t.Errorf("%v findings are seen, want the 7 that did not pass", n)
	}
	b.number(`(document.getElementById("show-pass").click(), 0)`)
	if n := b.number(findings); n != 11 {
		t.Errorf("%v findings are seen with those that passed, want 11", n)
	}
	for _, s := range []string{"fail", "warn", "unknown"} {
		b.number(`(document.getElementById("show-` + s + `").click(), 0)`)
	}
	if n := b.number(findings); n != 4 {
		t.Errorf("%v findings are seen, want the 4 that passed", n)
	}
	typed := func(words string) string {
		return `new Promise(done => {
			new MutationObserver((_, o) => { o.disconnect(); done(0); }).observe(document.getElementById("filter-told"), {childList: true});
			const box = document.getElementById("filter-words"); box.value = "` + words + `"; box.dispatchEvent(new Event("input"));
		})`
	}
	b.number(typed("DEPT00007"))
	if n := b.number(visible + `("#domains tbody tr")`); n != 1 {
		t.Errorf("%v domains are seen, want 1", n)
	}
	if n := b.number(`[...document.querySelectorAll("#domains details")].filter(d => d.open && !d.hidden).length`); n != 1 {
		t.Errorf("%v waves are open, want the one with the domain", n)
	}
	if n := b.number(findings); n != 0 {
		t.Errorf("%v findings are seen that have not the word", n)
	}
	b.number(typed(""))
	if n := b.number(visible + `("#domains tbody tr")`); n != 120 {
		t.Errorf("%v domains are seen in the end, want all", n)
	}
}

// TestIntegrationWithoutScript: all is there, the filter by severity works, and the
// one by words is not shown.
func TestIntegrationWithoutScript(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	page := string(pageOf(t, sampleStory(t)))
	without := strings.Replace(page, "script-src &#39;sha256-", "script-src &#39;none&#39; &#39;sha256-x", 1)
	if without == page {
		t.Fatal("the page's policy is not as this test thinks")
	}
	b.open([]byte(without))
	if n := b.number(`getComputedStyle(document.getElementById("filter-by-words")).display === "none" ? 1 : 0`); n != 1 {
		t.Error("a filter is shown that does nothing")
	}
	b.number(`(document.getElementById("show-fail").click(), 0)`)
	if n := b.number(visible + `("#findings tbody tr")`); n != 4 {
		t.Errorf("%v findings are seen, want 4", n)
	}
	b.number(`(document.querySelector("#domains details summary").click(), 0)`)
	if n := b.number(`document.querySelector("#domains details tbody tr").getBoundingClientRect().height > 10 ? 1 : 0`); n != 1 {
		t.Error("a wave does not unfold")
	}
}

// contrasts lists what is written with less contrast to its ground than WCAG 2.1
// wants of text (4.5 to 1).
const contrasts = `(() => {
	const parse = c => { const m = c.match(/[\d.]+/g).map(Number); if (c.startsWith("color(srgb")) return [m[0]*255, m[1]*255, m[2]*255, m[3] ?? 1]; return [m[0], m[1], m[2], m[3] ?? 1]; };
	const over = (a, b) => [0, 1, 2].map(i => a[i]*a[3] + b[i]*(1 - a[3])).concat(1);
	const ground = e => { if (!e) return [255, 255, 255, 1]; const c = parse(getComputedStyle(e).backgroundColor); return c[3] === 1 ? c : over(c, ground(e.parentElement)); };
	const light = c => { const [r, g, b] = c.map(x => { x /= 255; return x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }); return 0.2126*r + 0.7152*g + 0.0722*b; };
	const bad = [];
	for (const e of document.querySelectorAll("body *")) {
		if (e.closest("script, .skip")) continue;
		if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
		const s = getComputedStyle(e), svg = e.ownerSVGElement;
		if (s.display === "none" || svg && e.tagName !== "text") continue;
		const a = light(parse(svg ? s.fill : s.color)), b = light(ground(svg ? svg.parentElement : e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) bad.push(e.tagName + "." + e.className + " " + ratio.toFixed(2) + " " + e.textContent.trim().slice(0, 30));
	}
	return bad;
})()`

// TestIntegrationAccessible measures contrast in the dark and in the light, and
// wants names for tables, pictures and fields.
func TestIntegrationAccessible(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	b.open(pageOf(t, sampleStory(t)))
	grounds := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		b.scheme("screen", scheme)
		var bad []string
		if b.eval(contrasts, &bad); len(bad) > 0 {
			t.Errorf("%s: %d texts with too little contrast: %q", scheme, len(bad), bad[:min(len(bad), 8)])
		}
		var ground string
		b.eval(`getComputedStyle(document.body).backgroundColor`, &ground)
		grounds[ground] = true
	}
	if len(grounds) != 2 {
		t.Errorf("dark and light are the same: %v", grounds)
	}
	for what, expression := range map[string]string{
		"tables without caption or heads": `[...document.querySelectorAll("table")].filter(t => !t.caption || !t.caption.textContent || t.querySelectorAll("th[scope=col]").length !== t.rows[1].cells.length).length`,
		"pictures without a name":         `[...document.querySelectorAll("svg[role=img]")].filter(s => !s.getAttribute("aria-label") && !s.querySelector("title")?.textContent).length`,
		"pictures that are not hidden":    `document.querySelectorAll("svg:not([role=img]):not([aria-hidden=true])").length`,
		"fields without a label":          `[...document.querySelectorAll("input")].filter(i => i.labels.length !== 1).length`,
		"regions that no key reaches":     `[...document.querySelectorAll(".scroll")].filter(s => s.tabIndex !== 0 || !s.getAttribute("aria-label")).length`,
		"ids that stand twice":            `(ids => ids.length - new Set(ids).size)([...document.querySelectorAll("[id]")].map(e => e.id))`,
		"links that lead nowhere":         `[...document.querySelectorAll("a")].filter(a => !document.getElementById(a.getAttribute("href").slice(1))).length`,
		"headings that leave a level out": `(l => l.filter((x, i) => i && x > l[i-1] + 1).length)([...document.querySelectorAll("h1, h2, h3")].map(h => +h.tagName[1]))`,
		"a language that is not named":    `document.documentElement.lang === "en" ? 0 : 1`,
		"states that only a colour tells": `[...document.querySelectorAll("tbody tr")].filter(r => getComputedStyle(r.cells[0], "::before").content === "none").length`,
	} {
		if n := b.number(expression); n != 0 {
			t.Errorf("%v %s", n, what)
		}
	}
}

// TestIntegrationNarrow: on a telephone only tables scroll sideways.
func TestIntegrationNarrow(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	b.open(pageOf(t, hostileStory(t)))
	b.size(360, 780)
	if n := b.number(`document.scrollingElement.scrollWidth`); n > 360 {
		t.Errorf("the page is %v wide on 360", n)
	}
}

// TestIntegrationPrint prints to PDF: folded tables are unfolded on paper, but for
// the longest, and the filter is not there.
func TestIntegrationPrint(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	b.open(pageOf(t, sampleStory(t)))
	b.scheme("print", "dark")
	if n := b.number(`document.querySelector("#domains details tbody tr").getBoundingClientRect().height > 5 ? 1 : 0`); n != 1 {
		t.Error("a wave is folded on paper")
	}
	if n := b.number(`getComputedStyle(document.querySelector(".filter")).display === "none" ? 1 : 0`); n != 1 {
		t.Error("the filter is printed")
	}
	var ground string
	if b.eval(`getComputedStyle(document.body).backgroundColor`, &ground); ground != "rgb(255, 255, 255)" {
		t.Errorf("paper is %s in the dark", ground)
	}
	var pdf struct{ Data []byte }
	b.call("Page.printToPDF", params{"printBackground": true, "preferCSSPageSize": true}, &pdf)
	pages := bytes.Count(pdf.Data, []byte("/Type /Page\n"))
	if !bytes.HasPrefix(pdf.Data, []byte("%PDF")) || pages < 2 || pages > 20 {
		t.Errorf("%d bytes, %d pages", len(pdf.Data), pages)
	}
}

// TestIntegrationManyDomains: a page of ten thousand domains opens, and is filtered,
// while one waits for it.
func TestIntegrationManyDomains(t *testing.T) {
	t.Parallel()
	page := pageOf(t, makeUp(t, 10000, nil).story())
	b := startBrowser(t)
	begun := time.Now()
	b.open(page)
	opened := time.Since(begun)
	begun = time.Now()
	b.number(`new Promise(done => {
		new MutationObserver((_, o) => { o.disconnect(); requestAnimationFrame(() => done(0)); }).observe(document.getElementById("filter-told"), {childList: true});
		const box = document.getElementById("filter-words"); box.value = "dept04711"; box.dispatchEvent(new Event("input"));
	})`)
	filtered := time.Since(begun)
	if n := b.number(visible + `("#domains tbody tr")`); n != 1 {
		t.Errorf("%v domains are seen, want 1", n)
	}
	t.Logf("%d bytes, opened in %v, filtered in %v", len(page), opened.Round(time.Millisecond), filtered.Round(time.Millisecond))
	if opened > 30*time.Second || filtered > 15*time.Second {
		t.Error("that is too slow")
	}
}

// TestIntegrationPicture takes the picture of the README; make golden writes it anew.
func TestIntegrationPicture(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	b.open(pageOf(t, sampleStory(t)))
	for _, p := range []struct {
		file, media, scheme string
		width, height       int
	}{
		{"report.png", "screen", "light", 1200, 1150}, {"report-dark.png", "screen", "dark", 1200, 1150}, {"report-narrow.png", "screen", "light", 400, 1600}, {"report-print.png", "print", "dark", 760, 1100},
	} {
		b.scheme(p.media, p.scheme)
		b.size(p.width, p.height)
		var shot struct{ Data string }
		b.call("Page.captureScreenshot", params{"format": "png"}, &shot)
		png, err := base64.StdEncoding.DecodeString(shot.Data)
		if err != nil || len(png) < 20000 {
			t.Fatalf("%s: %d bytes, %v", p.file, len(png), err)
		}
		dir := os.Getenv("PICTURES")
		if *update && p.file == "report.png" {
			dir = filepath.Join("..", "docs", "images")
		}
		if dir != "" {
			if err := os.WriteFile(filepath.Join(dir, p.file), png, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
