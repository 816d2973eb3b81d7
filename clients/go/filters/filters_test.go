package filters_test

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"akin.dev/go/akinv1"
	"akin.dev/go/filters"
)

// Every function of the package builds the message that it names.
func TestFunctionsBuildTheirMessages(t *testing.T) {
	built := filters.All(
		filters.Equals("in_stock", true),
		filters.Equals("shelf", int64(7)),
		filters.EqualsList("sizes", 1, 2),
		filters.OneOf("brand", "Acme", "Apex"),
		filters.ContainsAny("tags", 1.5),
		filters.Between("price", filters.GTE(10), filters.LT(100)),
		filters.Between("since", filters.GT(filters.Time(time.UnixMilli(1500))), filters.LTE(9)),
		filters.Nested(filters.None(filters.Exists("gone", false))),
		filters.Nested(filters.Any(filters.Exists("here", true))),
	)
	expected := &akinv1.Filter{}
	if err := protojson.Unmarshal([]byte(`{"all": [
		{"attribute": "in_stock", "equals": true},
		{"attribute": "shelf", "equals": 7},
		{"attribute": "sizes", "equals": [1, 2]},
		{"attribute": "brand", "oneOf": ["Acme", "Apex"]},
		{"attribute": "tags", "containsAny": [1.5]},
		{"attribute": "price", "range": {"gte": 10, "lt": 100}},
		{"attribute": "since", "range": {"gt": 1.5, "lte": 9}},
		{"filter": {"none": [{"attribute": "gone", "exists": false}]}},
		{"filter": {"any": [{"attribute": "here", "exists": true}]}}
	]}`), expected); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(built, expected) {
		t.Errorf("got %v, want %v", built, expected)
	}
}

// An integer that would be rounded becomes NaN, which the server rejects; others stay.
func TestIntegersAreExact(t *testing.T) {
	for _, value := range []int64{1<<53 + 1, -1<<53 - 1, math.MaxInt64} {
		if number := filters.OneOf("id", value).GetOneOf().Values[0].GetNumberValue(); !math.IsNaN(number) {
			t.Errorf("%d: got %v", value, number)
		}
	}
	for _, value := range []int64{7, 1 << 53, 1 << 60, math.MinInt64} {
		if number := filters.Equals("id", value).GetEquals().GetNumberValue(); number != float64(value) {
			t.Errorf("%d: got %v", value, number)
		}
	}
}
