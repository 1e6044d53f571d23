package verify

// policyChecks ask what domains publish for others' mail servers to judge by,
// and hold it against what the domains are going to be.
func policyChecks() []Check {
	return []Check{
		{ID: "spf.future", Title: "SPF still passes for the outbound addresses once the MX has moved", RFC: "RFC 7208 section 5.4", When: []When{Before, After}, Run: spfFuture, Lacks: lacksOutbound},
		{ID: "mtasts.future", Title: "the MTA-STS policy lists the new MX hosts", RFC: "RFC 8461 section 4.1", When: always, Run: mtastsFuture},
		{ID: "dane.future", Title: "the TLSA records of the new MX hosts match the certificates that they show", RFC: "RFC 7672 section 3", When: always, Run: daneFuture},
		{ID: "tlsrpt", Title: "reports about TLS can be sent where the domain wants them", RFC: "RFC 8460 section 3", When: always, Run: tlsrpt, Advice: true},
		{ID: "dmarc", Title: "the DMARC record is one that receivers follow", RFC: "RFC 7489 section 6", When: always, Run: dmarcRecord, Advice: true},
		{ID: "dkim", Title: "the DKIM keys are there and good", RFC: "RFC 6376 section 3.6.1", When: always, Run: dkimKeys, Advice: true, Lacks: lacksSelectors},
	}
}

func lacksOutbound(c *Checker) string {
	if len(c.Outbound) == 0 {
		return "outbound"
	}
	return ""
}

func lacksSelectors(c *Checker) string {
	if len(c.DKIMSelectors) == 0 {
		return "dkim.selectors"
	}
	return ""
}
