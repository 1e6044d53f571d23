package verify

// policyChecks ask what domains publish for others' mail servers to judge by.
func policyChecks() []Check { return nil }
