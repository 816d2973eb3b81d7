package akin_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Every request of the conformance cases is a valid message, and every expected response names
// fields of the response message only.
func TestConformanceCasesFollowTheContract(t *testing.T) {
	for _, testCase := range readCases(t) {
		saved := map[string]any{}
		for number, step := range testCase.Steps {
			if err := step.validate(saved); err != nil {
				t.Errorf("%s: step %d, %s: %v", testCase.Name, number+1, step.Method, err)
			}
		}
	}
}

// validate checks a step and replaces what it saves by a number, which every saved field accepts.
func (s step) validate(saved map[string]any) error {
	method, err := findMethod(s.Method)
	if err != nil {
		return err
	}
	if _, err := s.messages(method, saved); err != nil {
		return err
	}
	for name := range s.Save {
		saved[name] = "1"
	}
	expected := append([]any{}, s.Responses...)
	for _, response := range []any{s.Response, s.LastResponse} {
		if response != nil {
			expected = append(expected, response)
		}
	}
	for _, response := range expected {
		if err := checkNames(response, method.Output(), "response"); err != nil {
			return err
		}
	}
	return nil
}

// checkNames returns an error if an expected value has a field that the message does not have.
// Attributes and values, which are any JSON, and the keys of maps are not checked.
func checkNames(expected any, message protoreflect.MessageDescriptor, where string) error {
	object, ok := expected.(map[string]any)
	if !ok || message.ParentFile().Package() != "akin.v1" {
		return nil
	}
	if _, ok := object["$set"]; ok {
		return nil
	}
	for key, value := range object {
		field := message.Fields().ByJSONName(key)
		if field == nil {
			return fmt.Errorf("%s: %s has no field %s", where, message.Name(), key)
		}
		entries, ok := value.([]any)
		if !ok {
			entries = []any{value}
		}
		for _, entry := range entries {
			if field.Message() == nil || field.IsMap() {
				continue
			}
			if err := checkNames(entry, field.Message(), where+"."+key); err != nil {
				return err
			}
		}
	}
	return nil
}
