package akin_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

// expand replaces the placeholders of a case by repeated strings and saved values.
func expand(value any, saved map[string]any) any {
	switch value := value.(type) {
	case string:
		if name, ok := strings.CutPrefix(value, "${"); ok && strings.HasSuffix(name, "}") {
			return saved[strings.TrimSuffix(name, "}")]
		}
	case []any:
		list := make([]any, len(value))
		for index, entry := range value {
			list[index] = expand(entry, saved)
		}
		return list
	case map[string]any:
		if unit, ok := value["$repeat"].(string); ok {
			return strings.Repeat(unit, int(value["$times"].(float64)))
		}
		object := make(map[string]any, len(value))
		for key, field := range value {
			object[key] = expand(field, saved)
		}
		return object
	}
	return value
}

// match returns an error that names the first difference from the expected value.
func match(expected, actual any, where string) error {
	switch expected := expected.(type) {
	case map[string]any:
		if set, ok := expected["$set"].(bool); ok {
			if set == isDefault(actual) {
				return fmt.Errorf("%s: set is %v, want %v", where, !set, set)
			}
			return nil
		}
		object, isObject := actual.(map[string]any)
		if !isObject {
			return fmt.Errorf("%s: got %v, want an object", where, actual)
		}
		return matchFields(expected, object, where)
	case []any:
		list, _ := actual.([]any)
		if len(list) != len(expected) {
			return fmt.Errorf("%s: got %d entries, want %d", where, len(list), len(expected))
		}
		for index, entry := range expected {
			if err := match(entry, list[index], fmt.Sprintf("%s[%d]", where, index)); err != nil {
				return err
			}
		}
		return nil
	case float64:
		if number, isNumber := actual.(float64); isNumber && math.Abs(number-expected) <= 0.001 {
			return nil
		}
	default:
		if actual == expected {
			return nil
		}
	}
	return fmt.Errorf("%s: got %v, want %v", where, actual, expected)
}

func matchFields(expected, actual map[string]any, where string) error {
	for key, field := range expected {
		value, ok := actual[key]
		if field == nil && !ok {
			return fmt.Errorf("%s.%s: is missing", where, key)
		}
		if err := match(field, value, where+"."+key); err != nil {
			return err
		}
	}
	return nil
}

// isDefault reports whether a value is absent or the default of its type.
func isDefault(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return value == "" || value == "0"
	case float64:
		return value == 0
	case bool:
		return !value
	default:
		return reflect.ValueOf(value).Len() == 0
	}
}

// valueAt returns the value at a path such as item.sequence.
func valueAt(value any, path string) any {
	for _, key := range strings.Split(path, ".") {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	return value
}

// A match fails exactly if a value differs from the expected one.
func TestMatchReportsDifferences(t *testing.T) {
	set := func(present bool) any { return map[string]any{"$set": present} }
	object := func(key string, value any) any { return map[string]any{key: value} }
	for name, test := range map[string]struct {
		expected, actual any
		same             bool
	}{
		"near numbers":    {1.0, 1.0005, true},
		"far numbers":     {1.0, 1.002, false},
		"number and text": {1.0, "1", false},
		"more fields":     {object("a", "x"), map[string]any{"a": "x", "b": 1.0}, true},
		"fewer fields":    {object("a", "x"), map[string]any{}, false},
		"null":            {object("a", nil), object("a", nil), true},
		"missing null":    {object("a", nil), map[string]any{}, false},
		"shorter list":    {[]any{"a", "b"}, []any{"a"}, false},
		"empty list":      {[]any{}, nil, true},
		"set":             {set(true), "1", true},
		"set to default":  {set(true), "0", false},
		"not set":         {object("a", set(false)), map[string]any{}, true},
		"set after all":   {set(false), []any{1.0}, false},
		"enumeration":     {"ITEM_STATE_INDEXED", "ITEM_STATE_PENDING", false},
	} {
		if err := match(test.expected, test.actual, name); (err == nil) != test.same {
			t.Errorf("%s: %v", name, err)
		}
	}
}
