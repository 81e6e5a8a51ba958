import com.google.protobuf.FieldMask
import com.google.protobuf.Message
import com.google.protobuf.Struct
import com.google.protobuf.Value
import com.google.rpc.BadRequest
import com.google.rpc.ErrorInfo
import com.google.rpc.RetryInfo
import io.grpc.Grpc
import io.grpc.InsecureChannelCredentials
import io.grpc.Status.Code
import io.grpc.StatusException
import io.grpc.protobuf.StatusProto
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import zendesk.gateway.v1.*

/** A call, an error with details, an update with a mask, and a stream that is resumed. */
fun main() = runBlocking {
    val channel = Grpc.newChannelBuilder("127.0.0.1:50051", InsecureChannelCredentials.create()).build()
    val users = UserServiceGrpcKt.UserServiceCoroutineStub(channel)
    val user = users.withDeadlineAfter(10, TimeUnit.SECONDS).listUsers(ListUsersRequest.newBuilder().setPageSize(2).build()).getUsers(1)
    println("call: ${user.name}")
    try {
        users.withDeadlineAfter(10, TimeUnit.SECONDS).listUsers(ListUsersRequest.newBuilder().setPageSize(101).build())
    } catch (error: StatusException) {
        val field = error.detail(BadRequest::class.java)?.getFieldViolations(0)?.field
        println("error: ${error.status.code} ${error.detail(ErrorInfo::class.java)?.reason} $field")
    }

    // One custom field is set; the notes are cleared: the mask names them, and they are not set.
    val fields = Struct.newBuilder().putFields("plan", Value.newBuilder().setStringValue("gold").build())
    val mask = FieldMask.newBuilder().addPaths("user_fields.plan").addPaths("notes")
    val update = UpdateUserRequest.newBuilder().setId(user.id).setUser(UserInput.newBuilder().setUserFields(fields)).setUpdateMask(mask)
    val updated = users.withDeadlineAfter(10, TimeUnit.SECONDS).updateUser(update.build()).user
    println("update: ${updated.userFields.fieldsMap["plan"]?.stringValue} '${updated.notes}'")

    // Rows count once a token has come after them: what came after the last token comes again.
    val rows = mutableListOf<User>()
    val agents = UserFilter.newBuilder().addRoles(UserRole.USER_ROLE_AGENT)
    var (token, streams, more) = Triple("", 0, true)
    while (more) {
        val page = mutableListOf<User>()
        streams++
        try {
            more = false
            val request = StreamUsersRequest.newBuilder().setFilter(agents).setPageToken(token).build()
            users.withDeadlineAfter(60, TimeUnit.SECONDS).streamUsers(request).collect { message ->
                page += message.usersList
                more = message.nextPageToken.isNotEmpty()
                if (more) {
                    rows += page
                    page.clear()
                    token = message.nextPageToken
                    if (streams == 1 && rows.size >= 500) throw StatusException(io.grpc.Status.CANCELLED) // as if the connection were lost
                }
            }
            rows += page // with `more` still set, the gateway is shutting down
        } catch (error: StatusException) {
            if (error.status.code !in setOf(Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED)) throw error
            more = true
            delay(1000 * (error.detail(RetryInfo::class.java)?.retryDelay?.seconds ?: 1))
        }
    }
    println("stream: ${rows.size} agents, $streams streams")
}

/** The detail of this kind, if the error has one. */
fun <T : Message> StatusException.detail(kind: Class<T>): T? =
    StatusProto.fromThrowable(this)?.detailsList?.firstOrNull { it.`is`(kind) }?.unpack(kind)
