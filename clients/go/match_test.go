package akin_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

// expand puts repeated strings and saved values where a case asks for them.
func expand(value any, saved map[string]any) any {
	switch value := value.(type) {
	case string:
		if name, found := strings.CutPrefix(value, "${"); found && strings.HasSuffix(name, "}") {
			return saved[strings.TrimSuffix(name, "}")]
		}
	case []any:
		made := make([]any, len(value))
		for index, each := range value {
			made[index] = expand(each, saved)
		}
		return made
	case map[string]any:
		if unit, found := value["$repeat"].(string); found {
			return strings.Repeat(unit, int(value["$times"].(float64)))
		}
		made := make(map[string]any, len(value))
		for key, each := range value {
			made[key] = expand(each, saved)
		}
		return made
	}
	return value
}

// match says where what is there differs from what a case expects, if anywhere.
func match(expected, actual any, where string) error {
	switch expected := expected.(type) {
	case map[string]any:
		if set, found := expected["$set"].(bool); found {
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
		for index, each := range expected {
			if err := match(each, list[index], fmt.Sprintf("%s[%d]", where, index)); err != nil {
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
	for key, each := range expected {
		got, found := actual[key]
		if each == nil && !found {
			return fmt.Errorf("%s.%s: is missing", where, key)
		}
		if err := match(each, got, where+"."+key); err != nil {
			return err
		}
	}
	return nil
}

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

func at(value any, path string) any {
	for _, key := range strings.Split(path, ".") {
		object, _ := value.(map[string]any)
		value = object[key]
	}
	return value
}

func TestMatchingSeesDifferences(t *testing.T) {
	set := func(wanted bool) any { return map[string]any{"$set": wanted} }
	object := func(key string, value any) any { return map[string]any{key: value} }
	for name, each := range map[string]struct {
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
		if err := match(each.expected, each.actual, name); (err == nil) != each.same {
			t.Errorf("%s: %v", name, err)
		}
	}
}
