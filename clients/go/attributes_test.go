package akin_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"akin.dev/go"
)

// An integer that a double cannot hold exactly is an error with its path, at any depth.
func TestAttributesAreExact(t *testing.T) {
	for _, number := range []any{
		1<<53 + 1, int64(math.MaxInt64), uint64(math.MaxUint64), int64(-1<<53 - 1),
		json.Number("9007199254740993"), json.Number("1" + strings.Repeat("0", 400)),
	} {
		_, err := akin.Attributes(map[string]any{"a": []any{map[string]any{"b": number}}})
		if err == nil || !strings.HasPrefix(err.Error(), "akin: attributes.a[0].b: the number ") ||
			!strings.HasSuffix(err.Error(), " cannot be stored exactly; use a string") {
			t.Errorf("%v: got %v", number, err)
		}
	}
	for _, number := range []any{7, int64(1 << 53), uint64(1 << 60), 0.1, json.Number("9.99"), int8(-3)} {
		if _, err := akin.Attributes(map[string]any{"a": number}); err != nil {
			t.Errorf("%v: got %v", number, err)
		}
	}
}

// A value that JSON lacks is an error.
func TestAttributesAreJSON(t *testing.T) {
	if _, err := akin.Attributes(map[string]any{"a": make(chan int)}); err == nil {
		t.Error("a channel passed")
	}
}
