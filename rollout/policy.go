package rollout

import "time"

// A Policy is how the engine gates, waits and gives up. All of it comes from
// the configuration.
type Policy struct {
	PrepareAll        bool          // lower all TTLs up front
	PreflightLifetime time.Duration // a publish wants a preflight that is younger
	Assume            time.Duration // TTL that caches may hold at least
	SyncWait          time.Duration // how long name servers may disagree before a person is asked
	PollEvery         time.Duration // between two looks at the same thing
	ProbeFailures     int           // failed probes in a row
	ProbeEvery        time.Duration // between probes while soaking
	RollBack          bool          // a failed probe rolls the domain back; else it is held
	SettleAfter       time.Duration // from isolation to the original TTL
	WatchEvery        time.Duration // live domains are looked at this often
	LookEvery         time.Duration // what was closed for good at the old server is looked at this often
	IsolateAfter      time.Duration // from the last cache's letting go to arming
	ConfirmWithin     time.Duration // the kernel's deadline
	ConfirmAfter      time.Duration // established connections are left alone for so long
	AutoApprove       bool          // of isolation
	AutoLift          bool          // open the old server again when a live domain leads back to it
	Concurrency       int           // domains of a wave that are worked on at once, waits apart; 0 = all
	StopWithin        time.Duration // an engine that is told to end waits so long for answers
	ResumeWaves       bool          // start new waves after a crash without being told
	BackOnly          bool          // only work off rollbacks and lifts, then end
	ExitHeld          bool          // end when only a person can go on
}

// withDefaults fills what was left at zero.
func (p Policy) withDefaults() Policy {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&p.PreflightLifetime, time.Hour)
	def(&p.SyncWait, 10*time.Minute)
	def(&p.PollEvery, 10*time.Second)
	def(&p.ProbeEvery, time.Minute)
	def(&p.WatchEvery, time.Hour)
	def(&p.LookEvery, 10*time.Minute)
	def(&p.ConfirmWithin, 10*time.Minute)
	def(&p.StopWithin, time.Second)
	p.ProbeFailures = max(p.ProbeFailures, 1)
	return p
}
