import com.google.protobuf.*;
import com.google.rpc.*;
import io.grpc.*;
import io.grpc.Status.Code;
import io.grpc.protobuf.StatusProto;
import java.util.*;
import java.util.concurrent.TimeUnit;
import zendesk.gateway.v1.*;

/** A call, an error with details, an update with a mask, and a stream that is resumed. */
public class FirstCalls {
    public static void main(String[] arguments) throws Exception {
        var channel = Grpc.newChannelBuilder("127.0.0.1:50051", InsecureChannelCredentials.create()).build();
        var users = UserServiceGrpc.newBlockingStub(channel);
        User user = users.withDeadlineAfter(10, TimeUnit.SECONDS).listUsers(ListUsersRequest.newBuilder().setPageSize(2).build()).getUsers(1);
        System.out.println("call: " + user.getName());
        try {
            users.withDeadlineAfter(10, TimeUnit.SECONDS).listUsers(ListUsersRequest.newBuilder().setPageSize(101).build());
        } catch (StatusRuntimeException error) {
            System.out.printf("error: %s %s %s%n", error.getStatus().getCode(), detail(error, ErrorInfo.class).get().getReason(),
                detail(error, BadRequest.class).get().getFieldViolations(0).getField());
        }
        // One custom field is set; the notes are cleared: the mask names them, and they are not set.
        var fields = Struct.newBuilder().putFields("plan", Value.newBuilder().setStringValue("gold").build());
        var update = UpdateUserRequest.newBuilder().setId(user.getId()).setUser(UserInput.newBuilder().setUserFields(fields))
            .setUpdateMask(FieldMask.newBuilder().addPaths("user_fields.plan").addPaths("notes"));
        user = users.withDeadlineAfter(10, TimeUnit.SECONDS).updateUser(update.build()).getUser();
        System.out.printf("update: %s '%s'%n", user.getUserFields().getFieldsOrThrow("plan").getStringValue(), user.getNotes());
        // Rows count once a token has come after them: what came after the last token comes again.
        List<User> rows = new ArrayList<>();
        var request = StreamUsersRequest.newBuilder().setFilter(UserFilter.newBuilder().addRoles(UserRole.USER_ROLE_AGENT));
        for (boolean more = true; more;) {
            List<User> page = new ArrayList<>();
            try {
                var stream = users.withDeadlineAfter(60, TimeUnit.SECONDS).streamUsers(request.build());
                for (more = false; stream.hasNext();) {
                    var message = stream.next();
                    page.addAll(message.getUsersList());
                    more = !message.getNextPageToken().isEmpty();
                    if (!more) continue;
                    rows.addAll(page);
                    page.clear();
                    request.setPageToken(message.getNextPageToken());
                }
                rows.addAll(page); // with more still set, the gateway is shutting down
            } catch (StatusRuntimeException error) {
                more = EnumSet.of(Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED).contains(error.getStatus().getCode());
                if (!more) throw error;
                var wait = detail(error, RetryInfo.class).map(RetryInfo::getRetryDelay).orElse(Duration.newBuilder().setSeconds(1).build());
                Thread.sleep(1000 * wait.getSeconds() + wait.getNanos() / 1_000_000);
            }
        }
        System.out.println("stream: " + rows.size() + " agents");
    }
    static <T extends Message> Optional<T> detail(StatusRuntimeException error, Class<T> kind) throws InvalidProtocolBufferException {
        for (var any : StatusProto.fromThrowable(error).getDetailsList()) if (any.is(kind)) return Optional.of(any.unpack(kind));
        return Optional.empty();
    }
}
