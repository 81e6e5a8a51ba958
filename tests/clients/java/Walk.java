import java.util.StringJoiner;

import org.zendesk.client.v2.Zendesk;
import org.zendesk.client.v2.model.Group;
import org.zendesk.client.v2.model.User;

/**
 * Lists all users and groups with the Java client, https://github.com/cloudbees-oss/zendesk-java-client, and prints
 * {"users": [ids], "groups": [ids]}. Its builder takes any address.
 */
public class Walk {
    public static void main(String[] arguments) {
        StringJoiner users = new StringJoiner(",", "[", "]");
        StringJoiner groups = new StringJoiner(",", "[", "]");
        Zendesk.Builder builder = new Zendesk.Builder(System.getenv("ZENDESK_URL"))
                .setUsername(System.getenv("ZENDESK_EMAIL"))
                .setToken(System.getenv("ZENDESK_TOKEN"));
        try (Zendesk client = builder.build()) {
            for (User user : client.getUsers()) {
                users.add(user.getId().toString());
            }
            for (Group group : client.getGroups()) {
                groups.add(group.getId().toString());
            }
        }
        System.out.println("{\"users\":" + users + ",\"groups\":" + groups + "}");
    }
}
