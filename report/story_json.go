package report

import (
	"io"
	"time"

	"mxcutover/rrset"
	"mxcutover/state"
	"mxcutover/traffic"
)

// The shapes of the story's JSON.
type (
	jsonWave struct {
		Name       string      `json:"name"`
		State      state.Phase `json:"state"`
		Reason     string      `json:"reason,omitempty"`
		Total      int         `json:"total"`
		Live       int         `json:"live"`
		Held       int         `json:"held"`
		Failed     int         `json:"failed"`
		Started    time.Time   `json:"started,omitzero"`
		LiveAt     time.Time   `json:"live_at,omitzero"`
		ApprovedBy string      `json:"approved_by,omitempty"`
		ApprovedAt time.Time   `json:"approved_at,omitzero"`
	}
	jsonDomain struct {
		Domain      string      `json:"domain"`
		Wave        string      `json:"wave"`
		State       state.Phase `json:"state"`
		Reason      string      `json:"reason,omitempty"`
		Attempt     int         `json:"attempt"`
		Messages    uint64      `json:"messages"`
		Begun       time.Time   `json:"begun,omitzero"`
		Published   time.Time   `json:"published,omitzero"`
		Live        time.Time   `json:"live,omitzero"`
		RolledBack  time.Time   `json:"rolled_back,omitzero"`
		Failures    int         `json:"failures"`
		Rollbacks   int         `json:"rollbacks"`
		Holds       int         `json:"holds"`
		HeldSeconds float64     `json:"held_seconds"`
		Way         []Mark      `json:"way"`
		Findings    Tally       `json:"findings"`
	}
	jsonLoad struct {
		Messages uint64  `json:"messages_before,omitempty"`
		Moved    uint64  `json:"messages_moved,omitempty"`
		Seen     []Seen  `json:"refused"`
		Observed []Found `json:"observed"`

		Old     jsonServerLog `json:"old_server"`
		Gateway jsonServerLog `json:"gateway"`
		Phases  []jsonPhase   `json:"phases"`
	}
	jsonServerLog struct {
		Known  bool           `json:"known"`
		Lacks  string         `json:"lacks,omitempty"`
		Unsure string         `json:"unsure,omitempty"`
		First  time.Time      `json:"first,omitzero"`
		Last   time.Time      `json:"last,omitzero"`
		Hours  []traffic.Hour `json:"hours"`
	}
	jsonPhase struct {
		Name    string    `json:"name"`
		From    time.Time `json:"from,omitzero"`
		To      time.Time `json:"to,omitzero"`
		Old     *rate     `json:"old_server"` // null = not known
		Gateway *rate     `json:"gateway"`
	}
)

// JSON writes the story. Fields may be added, never renamed.
func (s *Story) JSON(w io.Writer) error {
	waves, domains := []jsonWave{}, []jsonDomain{}
	for i, x := range s.Status.Waves {
		o := s.Waves[i]
		waves = append(waves, jsonWave{
			Name: x.Name, State: x.State, Reason: x.Reason, Total: x.Total, Live: x.Live, Held: x.Held, Failed: x.Failed,
			Started: o.Started, LiveAt: o.Live, ApprovedBy: o.Approved.By, ApprovedAt: o.Approved.At,
		})
	}
	for i := range s.Domains {
		d, now := &s.Domains[i], &s.Status.Domains[i]
		domains = append(domains, jsonDomain{
			Domain: rrset.Bare(d.Domain), Wave: d.Wave, State: now.State, Reason: now.Reason, Attempt: now.Attempt, Messages: d.Messages,
			Begun: d.Begun, Published: d.Published, Live: d.Live, RolledBack: d.Back, Failures: d.Failures, Rollbacks: d.Backs,
			Holds: d.HeldTimes, HeldSeconds: d.Held.Seconds(), Way: list(d.Marks), Findings: Count(Of("", now.Findings)),
		})
	}
	v := s.verification()
	return encode(w, object{
		"v": version, "migration": s.Migration, "plan": s.Plan, "headline": s.Headline(), "begun": s.Begun.UTC(), "last": s.Last.UTC(),
		"engine": s.Status.Engine, "over": s.Status.Over, "engines": s.Engines, "crashes": s.Crashes, "needs": list(s.Needs()),
		"waves": waves, "domains": domains, "moments": list(s.Moments), "holds": list(s.Holds), "probes": s.Probes,
		"latency": list(s.Latencies()), "progress": list(s.Progress), "unlisted": s.Unlisted,
		"isolation": object{"state": s.Status.Isolation.State, "reason": s.Status.Isolation.Reason},
		"load": jsonLoad{
			Messages: s.Load.Messages, Moved: s.Load.Moved, Seen: list(s.Load.Seen), Observed: Of("", s.Observed),
			Old: s.Load.Old.json(), Gateway: s.Load.Gateway.json(), Phases: s.Load.json(),
		},
		"verification": object{
			"at": v.At.UTC(), "made_for_this": s.Verified != nil, "findings": list(v.Findings), "summary": Count(v.Findings), "not_asked": list(v.notAsked()),
		},
	})
}

func (s *ServerLog) json() jsonServerLog {
	return jsonServerLog{Known: s.Lacks == "" && !s.First.IsZero(), Lacks: s.Lacks, Unsure: s.Unsure, First: s.First.UTC(), Last: s.Last.UTC(), Hours: list(s.Hours)}
}

func (l *Load) json() (out []jsonPhase) {
	known := func(r rate) *rate {
		if r.Hours == 0 {
			return nil
		}
		return &r
	}
	for _, p := range l.phases() {
		out = append(out, jsonPhase{p.name, p.from.UTC(), p.to.UTC(), known(l.Old.in(p)), known(l.Gateway.in(p))})
	}
	return out
}
