package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.BadRequest;
import com.google.rpc.BadRequest.FieldViolation;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.Test;

class AkinExceptionTest {
  private static final StatusRuntimeException ERROR =
      StatusProto.toStatusRuntimeException(
          com.google.rpc.Status.newBuilder()
              .setCode(Code.INVALID_ARGUMENT_VALUE)
              .setMessage("two fields are wrong")
              .addDetails(Any.pack(ErrorInfo.newBuilder().setReason("INVALID_REQUEST").build()))
              .addDetails(
                  Any.pack(
                      BadRequest.newBuilder()
                          .addFieldViolations(violation("item.text", "is blank"))
                          .addFieldViolations(violation("item.item_id", "is empty"))
                          .build()))
              .addDetails(
                  Any.pack(
                      RetryInfo.newBuilder()
                          .setRetryDelay(
                              com.google.protobuf.Duration.newBuilder()
                                  .setSeconds(1)
                                  .setNanos(500_000_000))
                          .build()))
              .build());

  /** All details of a status are decoded. */
  @Test
  void detailsAreDecoded() {
    AkinException error = AkinException.of(ERROR);
    assertEquals(Status.Code.INVALID_ARGUMENT, error.code());
    assertEquals("INVALID_ARGUMENT: two fields are wrong", error.getMessage());
    assertEquals("INVALID_REQUEST", error.reason());
    assertEquals(
        List.of(
            new Violation("item.text", "is blank"), new Violation("item.item_id", "is empty")),
        error.violations());
    assertEquals(Optional.of(Duration.ofMillis(1500)), error.retryAfter());
    assertSame(ERROR, error.getCause());
  }

  /** An error without details has a code and empty details. */
  @Test
  void errorsWithoutDetailsHaveNone() {
    AkinException error = AkinException.of(Status.UNAVAILABLE.asRuntimeException());
    assertEquals(Status.Code.UNAVAILABLE, error.code());
    assertEquals("", error.reason());
    assertEquals(List.of(), error.violations());
    assertEquals(Optional.empty(), error.retryAfter());
  }

  /** The error of a call is found inside of the errors that wrap it. */
  @Test
  void wrappedErrorsAreDecoded() {
    assertEquals("INVALID_REQUEST", AkinException.from(new ExecutionException(ERROR)).reason());
    assertEquals(
        Status.Code.ABORTED, AkinException.from(Status.ABORTED.asException()).code());
    AkinException decoded = AkinException.of(ERROR);
    assertSame(decoded, AkinException.from(decoded));
  }

  /** An error that no call caused has the code UNKNOWN. */
  @Test
  void otherErrorsAreUnknown() {
    AkinException error = AkinException.from(new IllegalStateException("closed"));
    assertEquals(Status.Code.UNKNOWN, error.code());
    assertTrue(error.getMessage().contains("closed"));
  }

  /** An invalid detail does not hide the code. */
  @Test
  void anInvalidDetailHidesNothing() {
    Any broken =
        Any.pack(ErrorInfo.getDefaultInstance()).toBuilder()
            .setValue(ByteString.copyFromUtf8("broken"))
            .build();
    AkinException error =
        AkinException.of(
            StatusProto.toStatusRuntimeException(
                com.google.rpc.Status.newBuilder()
                    .setCode(Code.NOT_FOUND_VALUE)
                    .addDetails(broken)
                    .build()));
    assertEquals(Status.Code.NOT_FOUND, error.code());
    assertEquals("", error.reason());
  }

  private static FieldViolation violation(String field, String description) {
    return FieldViolation.newBuilder().setField(field).setDescription(description).build();
  }
}
