package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"mxcutover/config"
	"mxcutover/firewall"
	"mxcutover/report"
	"mxcutover/state"
	"mxcutover/verify"
)

// newIsolateDone takes a person's word that a table is loaded.
func newIsolateDone(s *streams) *cobra.Command {
	var t target
	c := &cobra.Command{
		Use: "done", Short: "say that the table that was asked for is loaded into the firewall",
		Long: `done says that a person has loaded the table that isolate show prints, by its name,
which isolate status tells. It is journaled with your name, for that table alone, and
counts only once it is seen from outside: the ports closed, the gateway and SSH not.
It is of use with isolate.driver: script.`,
		Example: "  mxcutover isolate done --confirm close-25-3f2a91c4",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDecide(cmd.Context(), s, state.Decision{Verb: state.Loaded, Target: state.Isolate, Confirm: t.confirm}, t.take)
		},
	}
	c.Flags().StringVar(&t.confirm, "confirm", "", "the name of the table that is loaded")
	t.takeFlag(c)
	return c
}

// showTable prints what a person is to load, or what opens again.
func (s *streams) showTable(cfg *config.Config, want firewall.Rules, stage int, open bool) error {
	driver, err := openFirewall(cfg)
	if err != nil {
		return err
	}
	hand, ok := driver.(firewall.Hand)
	if !ok {
		return usagef("isolate.driver is %s", cfg.Isolate.Driver)
	}
	made := hand.Closing
	if open {
		made, want = hand.Opening, firewall.Rules{Ports: allPorts(cfg.Isolate)}
	} else if want, err = upTo(cfg.Isolate, want, stage); err != nil {
		return err
	}
	t, err := made(want)
	if err != nil {
		return err
	}
	return s.table(t)
}

// table prints a table in the form that is wanted; what to do with it goes to standard
// error.
func (s *streams) table(t firewall.Table) error {
	text := t.Text()
	switch s.output {
	case "json":
		return report.HandTableJSON(s.out, report.HandTable{Name: t.Name(), Rows: t.Rows, NFT: t.NFT})
	case "csv":
		text = t.CSV()
	case "nft":
		text = t.NFT
	}
	s.say("%s: the first row that fits a new connection counts; what fits none is none of its business", t.Name())
	_, err := fmt.Fprint(s.out, text)
	return err
}

func allPorts(i *config.Isolate) []uint16 {
	all := append([]uint16{}, i.Ports...)
	for _, set := range i.Stages {
		all = append(all, set...)
	}
	return all
}

// handed is how a firewall that a person loads is seen from outside.
func handed(i *config.Isolate) verify.Handed {
	at, unseen := i.SSH()
	return verify.Handed{Ports: allPorts(i), SSH: at, Unseen: unseen, To: i.RedirectTo}
}

// asksToOpen prints what a person has to load in order to open the old server.
func (s *streams) asksToOpen(cfg *config.Config) error {
	s.output = "text"
	if err := s.showTable(cfg, firewall.Rules{}, 1, true); err != nil {
		return err
	}
	s.say("take the rules away, so that it is as above; looking from outside for %s until it is (as nft text: mxcutover isolate show --open -o nft)", cfg.Isolate.ConfirmWithin)
	return nil
}
