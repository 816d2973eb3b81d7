// Package filters builds filters from plain Go values. A filter matches items by their attributes.
//
//	filter := filters.All(
//		filters.Equals("in_stock", true),
//		filters.Between("price", filters.LT(100)),
//		filters.Nested(filters.None(filters.OneOf("brand", "Acme", "Apex"))),
//	)
//
// The documentation of akinv1.Filter and akinv1.Condition defines the tests and their limits.
package filters

import (
	"math"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"akin.dev/go/akinv1"
)

// Value is a type that attributes can be compared with. An integer that a double cannot hold exactly
// becomes NaN, so that the call fails with INVALID_ARGUMENT instead of matching a rounded number. Store
// and compare such integers as strings.
type Value interface {
	string | bool | int | int32 | int64 | float64
}

// Equals is met if the attribute equals the value.
func Equals[V Value](attribute string, value V) *akinv1.Condition {
	return &akinv1.Condition{
		Attribute: attribute, Test: &akinv1.Condition_Equals{Equals: jsonValue(value)},
	}
}

// EqualsList is met if the attribute is the list of these values, in this order.
func EqualsList[V Value](attribute string, values ...V) *akinv1.Condition {
	return &akinv1.Condition{
		Attribute: attribute,
		Test:      &akinv1.Condition_Equals{Equals: structpb.NewListValue(listValue(values))},
	}
}

// OneOf is met if the attribute equals one of the values.
func OneOf[V Value](attribute string, values ...V) *akinv1.Condition {
	return &akinv1.Condition{
		Attribute: attribute, Test: &akinv1.Condition_OneOf{OneOf: listValue(values)},
	}
}

// ContainsAny is met if the attribute is a list that contains at least one of the values, or if it
// equals one of them.
func ContainsAny[V Value](attribute string, values ...V) *akinv1.Condition {
	return &akinv1.Condition{
		Attribute: attribute, Test: &akinv1.Condition_ContainsAny{ContainsAny: listValue(values)},
	}
}

// Exists is met if the item has the attribute with a value other than null. If present is false, it
// is met if the item lacks the attribute or has null for it.
func Exists(attribute string, present bool) *akinv1.Condition {
	return &akinv1.Condition{
		Attribute: attribute, Test: &akinv1.Condition_Exists{Exists: present},
	}
}

// Bound is a bound of a range.
type Bound func(*akinv1.Range)

// Between is met if the attribute lies in a range of numbers, or of times (see Time).
func Between(attribute string, bounds ...Bound) *akinv1.Condition {
	rng := &akinv1.Range{}
	for _, bound := range bounds {
		bound(rng)
	}
	return &akinv1.Condition{Attribute: attribute, Test: &akinv1.Condition_Range{Range: rng}}
}

// GT is an exclusive lower bound.
func GT(value float64) Bound { return func(r *akinv1.Range) { r.Gt = proto.Float64(value) } }

// GTE is an inclusive lower bound.
func GTE(value float64) Bound { return func(r *akinv1.Range) { r.Gte = proto.Float64(value) } }

// LT is an exclusive upper bound.
func LT(value float64) Bound { return func(r *akinv1.Range) { r.Lt = proto.Float64(value) } }

// LTE is an inclusive upper bound.
func LTE(value float64) Bound { return func(r *akinv1.Range) { r.Lte = proto.Float64(value) } }

// Time converts a time to a bound: seconds since 1970-01-01 UTC.
func Time(t time.Time) float64 {
	return float64(t.Unix()) + float64(t.Nanosecond())/1e9
}

// All matches items that meet every condition. Without conditions it matches every item. The server
// refuses such a filter inside another one.
func All(conditions ...*akinv1.Condition) *akinv1.Filter {
	return &akinv1.Filter{All: conditions}
}

// Any matches items that meet at least one condition. It requires a first condition, because an empty
// list in the message would match every item.
func Any(first *akinv1.Condition, more ...*akinv1.Condition) *akinv1.Filter {
	return &akinv1.Filter{Any: append([]*akinv1.Condition{first}, more...)}
}

// None matches items that meet none of the conditions, such as items that lack the attributes.
func None(conditions ...*akinv1.Condition) *akinv1.Filter {
	return &akinv1.Filter{None: conditions}
}

// Nested is met if the item matches the filter. It puts a filter inside another.
func Nested(filter *akinv1.Filter) *akinv1.Condition {
	return &akinv1.Condition{Test: &akinv1.Condition_Filter{Filter: filter}}
}

func listValue[V Value](values []V) *structpb.ListValue {
	list := &structpb.ListValue{}
	for _, value := range values {
		list.Values = append(list.Values, jsonValue(value))
	}
	return list
}

func integer(value int64) *structpb.Value {
	number := float64(value)
	// The double of the largest int64 is one more than it, which no int64 holds.
	if number >= math.MaxInt64 || int64(number) != value {
		number = math.NaN()
	}
	return structpb.NewNumberValue(number)
}

func jsonValue[V Value](value V) *structpb.Value {
	switch value := any(value).(type) {
	case string:
		return structpb.NewStringValue(value)
	case bool:
		return structpb.NewBoolValue(value)
	case int:
		return integer(int64(value))
	case int32:
		return structpb.NewNumberValue(float64(value))
	case int64:
		return integer(value)
	case float64:
		return structpb.NewNumberValue(value)
	}
	panic("unreachable: Value has no other types")
}
