package config

import (
	"fmt"
	"slices"
	"strings"
)

// distance is how many letters must be put in, taken out or replaced to make
// one word of another. Long words are not compared: they count as far apart.
func distance(a, b string) int {
	const longest = 40
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

// suggest is a cure: the known word that was probably meant, or all of them.
func suggest(word string, known []string) string {
	best, near := "", min(2, (len(word)+1)/2)+1
	for _, k := range known {
		if n := distance(strings.ToLower(word), k); n < near {
			best, near = k, n
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %s?", best)
	}
	if len(known) == 0 {
		return "nothing can be set here"
	}
	sorted := slices.Sorted(slices.Values(known))
	return "known here: " + strings.Join(sorted, ", ")
}
