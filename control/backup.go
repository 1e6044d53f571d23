package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// sumTrailer comes after the bytes of a backup, and tells that they are all.
const sumTrailer = "X-Mxcutover-Sha256"

// backup streams a copy of the journal. It is on the control socket only: it
// holds names of people and domains.
func (s *server) backup(w http.ResponseWriter, r *http.Request) {
	if s.Backup == nil {
		answer(w, http.StatusNotFound, refusal{"this engine makes no backups"})
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", sumTrailer)
	w.WriteHeader(http.StatusOK)
	if http.NewResponseController(w).Flush() != nil { // so that the reader need not wonder
		return
	}
	sum := sha256.New()
	if err := s.Backup(r.Context(), io.MultiWriter(w, sum)); err != nil {
		panic(http.ErrAbortHandler) // the reader sees that it is cut off
	}
	w.Header().Set(sumTrailer, hex.EncodeToString(sum.Sum(nil)))
}

// Backup writes a copy of the engine's journal, as it is now. After an error what
// was written is worth nothing.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	r, err := c.get(ctx, "/v1/backup")
	if err != nil {
		return err
	}
	defer r.Body.Close()
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), r.Body); err != nil {
		return fmt.Errorf("engine: backup: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); r.Trailer.Get(sumTrailer) != got {
		return errors.New("engine: backup: it is not whole")
	}
	return nil
}
