package akin

import (
	"encoding/json"
	"fmt"
	"math/big"

	"google.golang.org/protobuf/types/known/structpb"
)

// Attributes returns the attributes of an item. It accepts the values that structpb.NewStruct accepts,
// and fails if a double cannot hold an integer exactly, which structpb.NewStruct would round.
func Attributes(values map[string]any) (*structpb.Struct, error) {
	if err := checkNumbers(values, "attributes"); err != nil {
		return nil, err
	}
	return structpb.NewStruct(values)
}

func checkNumbers(value any, path string) error {
	switch value := value.(type) {
	case int, int64, uint, uint64, json.Number:
		text := fmt.Sprint(value)
		exact, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return nil // a json.Number with a fraction, or one that structpb rejects
		}
		if double, _ := new(big.Float).SetInt(exact).Float64(); !isExact(double, exact) {
			return fmt.Errorf("akin: %s: the number %.20s cannot be stored exactly; use a string", path, text)
		}
	case map[string]any:
		for key, element := range value {
			if err := checkNumbers(element, path+"."+key); err != nil {
				return err
			}
		}
	case []any:
		for position, element := range value {
			if err := checkNumbers(element, fmt.Sprintf("%s[%d]", path, position)); err != nil {
				return err
			}
		}
	}
	return nil
}

func isExact(double float64, exact *big.Int) bool {
	integer, accuracy := big.NewFloat(double).Int(nil)
	return accuracy == big.Exact && integer != nil && integer.Cmp(exact) == 0
}
