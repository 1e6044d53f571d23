package bolt_test
func dyingScript(path string) error { return nil }
func fullScript(path string) error { return nil }
func reserveScript(path string) error { return nil }
func reopenScript(path string) error { return nil }
