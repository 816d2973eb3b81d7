package io.akin;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** The error of a failed call, with its decoded details. */
public final class AkinException extends StatusRuntimeException {
  private static final long serialVersionUID = 1L;

  private String reason = "";
  // Transient, because a List does not have to be serializable. The status is not either.
  private transient List<Violation> violations = List.of();
  private Duration retryAfter;

  private AkinException(Status status, Metadata trailers) {
    super(status, trailers);
  }

  /** Decodes the error that a stub threw. */
  public static AkinException of(StatusRuntimeException error) {
    return error instanceof AkinException decoded
        ? decoded
        : decode(error, error.getStatus(), error.getTrailers());
  }

  /**
   * Decodes the error of a future or an observer, which can be wrapped in others. The code is
   * UNKNOWN if no call caused the error.
   */
  public static AkinException from(Throwable error) {
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof StatusRuntimeException failure) {
        return of(failure);
      }
      if (cause instanceof StatusException failure) {
        return decode(failure, failure.getStatus(), failure.getTrailers());
      }
    }
    return decode(error, Status.UNKNOWN.withDescription(String.valueOf(error)), null);
  }

  private static AkinException decode(Throwable cause, Status status, Metadata trailers) {
    AkinException decoded = new AkinException(status.withCause(cause), trailers);
    com.google.rpc.Status details = StatusProto.fromStatusAndTrailers(status, trailers);
    for (Any detail : details.getDetailsList()) {
      decoded.add(detail);
    }
    return decoded;
  }

  /** Returns the gRPC status code. */
  public Status.Code code() {
    return getStatus().getCode();
  }

  /** Returns the ErrorInfo reason, such as ITEM_NOT_FOUND. Empty if no server responded. */
  public String reason() {
    return reason;
  }

  /** Returns every invalid field of the request, for INVALID_ARGUMENT. */
  public List<Violation> violations() {
    return violations;
  }

  /** Returns the time to wait before retrying. Empty if retrying cannot help. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(retryAfter);
  }

  /** Returns the id of the call, which the server's log has. Empty if no Akin server responded. */
  public String requestId() {
    return CallInfo.findRequestId(getTrailers());
  }

  private void add(Any detail) {
    try {
      if (detail.is(ErrorInfo.class)) {
        reason = detail.unpack(ErrorInfo.class).getReason();
      } else if (detail.is(BadRequest.class)) {
        violations =
            detail.unpack(BadRequest.class).getFieldViolationsList().stream()
                .map(violation -> new Violation(violation.getField(), violation.getDescription()))
                .toList();
      } else if (detail.is(RetryInfo.class)) {
        com.google.protobuf.Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
        retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
      }
    } catch (InvalidProtocolBufferException e) {
      // An invalid detail must not hide the code and the message.
      addSuppressed(e);
    }
  }
}
