package traffic

import "testing"

func TestLogNames(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"/var/log/mail.log.2.gz": "/var/log/mail.log", "mainlog-20261125": "mainlog", "a/MSGTRK2026112517-1.LOG": "a/MSGTRK.LOG", "a/MSGTRKMD2026112517-12.LOG.gz": "a/MSGTRK.LOG",
		"a/MSGTRKMS20261125-1.LOG": "a/MSGTRK.LOG", "a/MSGTRK.LOG": "a/MSGTRK.LOG", "MSGTRKXX2026112517-1.LOG": "MSGTRKXX2026112517-1.LOG",
	} {
		if got := LogName(file); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}
