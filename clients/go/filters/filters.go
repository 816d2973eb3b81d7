// Package filters makes filters of plain Go values: which items count, by their attributes.
//
//	where := filters.All(
//		filters.Equals("in_stock", true),
//		filters.Between("price", filters.LT(100)),
//		filters.Nested(filters.None(filters.OneOf("brand", "Acme", "Apex"))),
//	)
//
// What each test is true of, and the limits, are told at akinv1.Filter and akinv1.Condition.
package filters

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"akin.dev/go/akinv1"
)

// Value is what an attribute is compared with.
type Value interface {
	string | bool | int | int32 | int64 | float64
}

// Equals is true if the attribute is this value.
func Equals[V Value](attribute string, value V) *akinv1.Condition {
	return &akinv1.Condition{
		Attribute: attribute, Test: &akinv1.Condition_Equals{Equals: jsonValue(value)},
	}
}

// EqualsList is true if the attribute is the list of these values, in this order.
func EqualsList[V Value](attribute string, values ...V) *akinv1.Condition {
	return &akinv1.Condition{
		Attribute: attribute,
		Test:      &akinv1.Condition_Equals{Equals: structpb.NewListValue(list(values))},
	}
}

// OneOf is true if the attribute is one of these values.
func OneOf[V Value](attribute string, values ...V) *akinv1.Condition {
	return &akinv1.Condition{
		Attribute: attribute, Test: &akinv1.Condition_OneOf{OneOf: list(values)},
	}
}

// ContainsAny is true if the attribute is a list with at least one of these values, or is itself one
// of them.
func ContainsAny[V Value](attribute string, values ...V) *akinv1.Condition {
	return &akinv1.Condition{
		Attribute: attribute, Test: &akinv1.Condition_ContainsAny{ContainsAny: list(values)},
	}
}

// Exists is true if the item has the attribute, and not null for it; with present false, if it has
// not.
func Exists(attribute string, present bool) *akinv1.Condition {
	return &akinv1.Condition{
		Attribute: attribute, Test: &akinv1.Condition_Exists{Exists: present},
	}
}

// Bound is one end of a range.
type Bound func(*akinv1.Range)

// Between is true if the attribute lies in a range of numbers, or of times given as Time.
func Between(attribute string, bounds ...Bound) *akinv1.Condition {
	limits := &akinv1.Range{}
	for _, bound := range bounds {
		bound(limits)
	}
	return &akinv1.Condition{Attribute: attribute, Test: &akinv1.Condition_Range{Range: limits}}
}

// GT means greater than this, or later.
func GT(value float64) Bound { return func(r *akinv1.Range) { r.Gt = proto.Float64(value) } }

// GTE means at least this.
func GTE(value float64) Bound { return func(r *akinv1.Range) { r.Gte = proto.Float64(value) } }

// LT means less than this, or earlier.
func LT(value float64) Bound { return func(r *akinv1.Range) { r.Lt = proto.Float64(value) } }

// LTE means at most this.
func LTE(value float64) Bound { return func(r *akinv1.Range) { r.Lte = proto.Float64(value) } }

// Time is a moment as bounds have it: seconds since 1970-01-01 UTC.
func Time(moment time.Time) float64 {
	return float64(moment.Unix()) + float64(moment.Nanosecond())/1e9
}

// All lets items pass for which every condition is true; with none at all, every item.
func All(conditions ...*akinv1.Condition) *akinv1.Filter {
	return &akinv1.Filter{All: conditions}
}

// Any lets items pass for which at least one condition is true. It asks for a first one, because on
// the wire none at all would let every item pass.
func Any(first *akinv1.Condition, more ...*akinv1.Condition) *akinv1.Filter {
	return &akinv1.Filter{Any: append([]*akinv1.Condition{first}, more...)}
}

// None lets items pass for which no condition is true, as for those that lack the attributes.
func None(conditions ...*akinv1.Condition) *akinv1.Filter {
	return &akinv1.Filter{None: conditions}
}

// Nested is true if the item passes the filter; it puts one filter inside another.
func Nested(filter *akinv1.Filter) *akinv1.Condition {
	return &akinv1.Condition{Test: &akinv1.Condition_Filter{Filter: filter}}
}

func list[V Value](values []V) *structpb.ListValue {
	made := &structpb.ListValue{}
	for _, value := range values {
		made.Values = append(made.Values, jsonValue(value))
	}
	return made
}

func jsonValue[V Value](value V) *structpb.Value {
	switch value := any(value).(type) {
	case string:
		return structpb.NewStringValue(value)
	case bool:
		return structpb.NewBoolValue(value)
	case int:
		return structpb.NewNumberValue(float64(value))
	case int32:
		return structpb.NewNumberValue(float64(value))
	case int64:
		return structpb.NewNumberValue(float64(value))
	case float64:
		return structpb.NewNumberValue(value)
	}
	panic("unreachable: Value has no other types")
}
