package providers

// What tests in providers_test need of the inside.

// Opened is the provider within what Open gives.
func Opened(p Provider) Provider { return opened(p) }
