package io.akin;

import static io.akin.Filters.allOf;
import static io.akin.Filters.anyOf;
import static io.akin.Filters.containsAny;
import static io.akin.Filters.eq;
import static io.akin.Filters.exists;
import static io.akin.Filters.gte;
import static io.akin.Filters.lt;
import static io.akin.Filters.missing;
import static io.akin.Filters.noneOf;
import static io.akin.Filters.oneOf;
import static io.akin.Filters.passes;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.util.JsonFormat;
import io.akin.v1.Filter;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class FiltersTest {
  /** Every function builds the message that it names. */
  @Test
  void functionsBuildTheirMessages() throws Exception {
    Filter filter =
        allOf(
            eq("sizes", List.of(1, true, "x")),
            oneOf("brand", "Acme", "Apex"),
            containsAny("tags", 1),
            gte("price", 2),
            lt("since", Filters.seconds(Instant.parse("1970-01-01T00:00:01.500Z"))),
            exists("a"),
            missing("b"),
            passes(noneOf(eq("sold", true))),
            passes(anyOf(exists("c"))));
    Filter.Builder expected = Filter.newBuilder();
    JsonFormat.parser()
        .merge(
            """
            {"all": [
              {"attribute": "sizes", "equals": [1, true, "x"]},
              {"attribute": "brand", "oneOf": ["Acme", "Apex"]},
              {"attribute": "tags", "containsAny": [1]},
              {"attribute": "price", "range": {"gte": 2}},
              {"attribute": "since", "range": {"lt": 1.5}},
              {"attribute": "a", "exists": true},
              {"attribute": "b", "exists": false},
              {"filter": {"none": [{"attribute": "sold", "equals": true}]}},
              {"filter": {"any": [{"attribute": "c", "exists": true}]}}
            ]}""",
            expected);
    assertEquals(expected.build(), filter);
  }

  /** A filter without conditions in anyOf is rejected. */
  @Test
  void anyOfRequiresACondition() {
    assertThrows(IllegalArgumentException.class, Filters::anyOf);
  }

  /** A number that a double cannot hold unchanged is rejected, in attributes and in filters. */
  @Test
  void numbersAreExact() {
    for (Number number :
        List.of(
            (1L << 53) + 1,
            Long.MAX_VALUE,
            new BigInteger("18446744073709551615"),
            BigInteger.TEN.pow(400),
            new BigDecimal("0.12345678901234567890"),
            new AtomicLong(-(1L << 53) - 1))) {
      Map<String, Object> deep = Map.of("a", List.of(Map.of("b", number)));
      String message =
          assertThrows(IllegalArgumentException.class, () -> Attributes.of(deep)).getMessage();
      assertTrue(message.endsWith("cannot be stored exactly; use a string"), message);
      assertThrows(IllegalArgumentException.class, () -> eq("a", number));
      assertThrows(IllegalArgumentException.class, () -> oneOf("a", 1, number));
    }
    for (Number number :
        List.of(
            7, (1L << 53), 1L << 60, new BigDecimal("9.99"), new BigDecimal("1e22"), 0.1f, 1e300)) {
      assertEquals(
          number.doubleValue(),
          Attributes.of(Map.of("a", number)).getFieldsOrThrow("a").getNumberValue());
    }
  }

  /** Attributes are built from JSON values only. */
  @Test
  void attributesAreJson() throws Exception {
    List<Object> list = new ArrayList<>();
    list.add(null);
    list.add(Map.of("deep", 2.5f));
    assertEquals(
        "{\"list\":[null,{\"deep\":2.5}]}",
        JsonFormat.printer().omittingInsignificantWhitespace().print(
            Attributes.of(Map.of("list", list))));
    Map<String, Object> other = Map.of("time", Instant.EPOCH);
    assertThrows(IllegalArgumentException.class, () -> Attributes.of(other));
  }
}
